//go:build !linux

package fsys

func renameNew(old, name string) error { return linkNew(old, name) }
