//go:build !unix

package configtest

import "errors"

// Pipe fails: this system has no named pipes in its file system.
func Pipe(string) error { return errors.ErrUnsupported }
