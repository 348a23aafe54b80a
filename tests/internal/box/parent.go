//go:build !linux

package box

import "syscall"

func endWithParent(*syscall.SysProcAttr) {}
