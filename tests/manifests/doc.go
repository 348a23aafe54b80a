// Package manifests tests what knative/ says, without a cluster.
package manifests
