//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package deadletter

import (
	"errors"
	"fmt"
	"syscall"
)

// tryLock locks a file against every other open file of it, in this process and
// in others. It returns false if it is locked already.
func tryLock(f disk) (bool, error) {
	err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func unlock(f disk) {
	_ = flock(f, syscall.LOCK_UN) // fails only for a closed file, which has no lock
}

// lockable returns an error if the file system has no locks.
func lockable(f disk) error {
	locked, err := tryLock(f)
	if err != nil {
		return fmt.Errorf("lock it: %w; use a file system that has locks (flock)", err)
	}
	if locked {
		unlock(f)
	}
	return nil
}

func flock(f disk, how int) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = raw.Control(func(fd uintptr) {
		for lockErr = syscall.EINTR; errors.Is(lockErr, syscall.EINTR); {
			lockErr = syscall.Flock(int(fd), how)
		}
	})
	return errors.Join(err, lockErr)
}
