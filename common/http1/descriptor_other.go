//go:build !unix

package http1

import "errors"

// hasDescriptors reports whether sockets can be read and written without waiting.
const hasDescriptors = false

func readDescriptor(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func writeDescriptor(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
