// Package onebox is what a cluster gives, in one process: a broker on disk, sources that wake functions over HTTP with the
// semantics of Knative's, a clock that can be moved, and the data folder that holds it all.
package onebox
