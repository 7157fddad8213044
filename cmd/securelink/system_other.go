//go:build !linux && !darwin

package main

import "errors"

func fileLimit() (uint64, error) { return 0, errors.ErrUnsupported }

func diskFree(string) (uint64, error) { return 0, errors.ErrUnsupported }
