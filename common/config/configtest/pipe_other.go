//go:build !unix

package configtest

import "errors"

// Pipe fails: there are no named pipes among files here.
func Pipe(string) error { return errors.ErrUnsupported }
