// Package onebox is what a cluster gives, in one process: a broker on disk, connections within the process, and the data folder that holds
// it all.
package onebox
