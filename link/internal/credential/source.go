package credential

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/link/spec"
)

// secretsDir is the default folder where the Secrets of references are mounted.
const secretsDir = "/etc/fiso/secrets"

// newSource returns the source of the reference at key. Errors do not show the
// reference's value: people write the secret itself there by mistake, and errors reach
// the application.
func newSource(key string, ref *spec.SecretRef, p Parts) (source, error) {
	switch {
	case ref == nil:
		return nil, errors.New("the credential names no secret: write filePath, envVar, vaultRef, or name and key")
	case ref.VaultRef != nil:
		if p.Vault == nil {
			return nil, errors.New("vaultRef needs the block vault in the configuration, which is missing")
		}
		return p.Vault.source(key, ref.VaultRef)
	case ref.EnvVar != "":
		value, _ := p.Env(ref.EnvVar)
		return envVariable{"the environment variable that " + key + ".envVar names", config.TrimValue(value)}, nil
	case ref.FilePath != "":
		return fileSource{ref.FilePath, "the file that " + key + ".filePath names"}, nil
	}
	for _, name := range []string{ref.Name, ref.Key} {
		if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\\\x00") {
			return nil, fmt.Errorf("%s: name is not that of a Secret, or key not that of one in it", key)
		}
	}
	dir, _ := p.Env("FISO_SECRETS_DIR")
	if dir == "" {
		dir = secretsDir
	}
	return fileSource{filepath.Join(dir, ref.Name, ref.Key), "the file of the Secret that " + key + " names, under " + dir + ","}, nil
}

// fileSource is a file that holds a secret. It is read whole at each check: it is
// small, and its time and size may stay the same when a mounted Secret is swapped.
type fileSource struct{ path, what string }

func (f fileSource) read(context.Context) (secretReading, error) {
	text, err := config.SecretFile(f.path).Reveal()
	if err != nil {
		return secretReading{}, fmt.Errorf("%s %s", f.where(), errUnreadable(err))
	}
	return secretReading{text: text}, nil
}

// errUnreadable says what to do about a file that cannot be read.
func errUnreadable(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "does not exist: is the Secret mounted, and the path right?"
	case errors.Is(err, config.ErrEmpty):
		return "is empty: put the secret there"
	case errors.Is(err, fs.ErrPermission):
		return "may not be read: give the user that fiso-link runs as permission to"
	}
	return "cannot be read: it must be a regular file of at most 1 MiB"
}

func (f fileSource) refresh(context.Context) {}
func (f fileSource) where() string           { return f.what }
func (f fileSource) close()                  {}

// envVariable is an environment variable. The environment does not change while a
// process runs.
type envVariable struct{ what, value string }

func (v envVariable) read(context.Context) (secretReading, error) {
	return secretReading{text: v.value}, nil
}
func (v envVariable) refresh(context.Context) {}
func (v envVariable) where() string           { return v.what }
func (v envVariable) close()                  {}

// checkValue refuses values that cannot be sent as a secret: empty ones, and those with
// control characters, which could begin another header field. Its error does not show
// the value.
func checkValue(text, where string) error {
	if text == "" {
		return fmt.Errorf("%s is empty: put the secret there", where)
	}
	if control(text) {
		return fmt.Errorf("%s holds a line break or another control character within the secret: write it on one line", where)
	}
	return nil
}

func control(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] < ' ' || text[i] == 0x7f {
			return true
		}
	}
	return false
}
