//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package deadletter

import (
	"errors"
	"fmt"
	"syscall"
)

// tryLock locks a file against every other opening of it, in this process and
// in others. It reports false when somebody else has the lock.
func tryLock(f disk) (bool, error) {
	err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func unlock(f disk) {
	_ = flock(f, syscall.LOCK_UN) // it fails for a closed file only, which has no lock
}

// lockable fails where the file system knows no locks.
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
