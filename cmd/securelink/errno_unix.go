//go:build !windows

package main

import "syscall"

const errAddrInUse = syscall.EADDRINUSE
