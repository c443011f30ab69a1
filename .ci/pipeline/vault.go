package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lsm/fiso/.ci/repo"
)

// vaultMod is the module that the real Vault of the tests is built in: nothing
// but Vault itself, and what its own go.mod replaces.
const vaultMod = `module fiso.invalid/vault

go 1.26.0

require (
	github.com/hashicorp/vault v1.21.4
	github.com/hashicorp/vault-plugin-auth-kubernetes v0.23.1
)

replace github.com/99designs/keyring => github.com/Jeffail/keyring v1.2.3

replace github.com/ma314smith/signedxml v1.1.1 => github.com/moov-io/signedxml v1.1.1

replace github.com/hashicorp/vault/sdk => ./sdk
`

// vaultSDK is the published version nearest to the one that Vault is released
// with, which is in its repository alone. They differ in two signatures that
// vaultPatches sets right; none of what they do is used by a test.
const vaultSDK = "github.com/hashicorp/vault/sdk@v0.21.0"

var vaultPatches = []struct{ file, old, new string }{
	{"framework/backend.go", "ActivationFunc func(context.Context, *logical.Request, string) error", "ActivationFunc func(context.Context, *logical.Request) error"},
	{
		"helper/keysutil/lock_manager.go", "func (lm *LockManager) RestorePolicy(ctx context.Context, storage logical.Storage, name, backup string, force bool) error {",
		"func (lm *LockManager) RestorePolicy(ctx context.Context, storage logical.Storage, name, backup string, force bool) (string, error) {\n" +
			"\treturn name, lm.restorePolicy(ctx, storage, name, backup, force)\n}\n\n" +
			"func (lm *LockManager) restorePolicy(ctx context.Context, storage logical.Storage, name, backup string, force bool) error {",
	},
}

// vaultBuilds are its programs: the server without its page, which is not in
// the module, and without most of its plugins, which would triple the time; and
// the plugins that the tests use, which Vault finds in a folder of their own.
var vaultBuilds = []struct{ out, pkg string }{
	{"vault", "github.com/hashicorp/vault"},
	{"plugins/rabbitmq", "github.com/hashicorp/vault/builtin/logical/rabbitmq/cmd/rabbitmq"},
	{"plugins/kubernetes", "github.com/hashicorp/vault-plugin-auth-kubernetes/cmd/vault-plugin-auth-kubernetes"},
}

// vaultHome builds a real Vault into .cache, unless it is there already, and
// gives the folder, whose name carries a hash of what it is built from.
func (p *Pipeline) vaultHome(ctx context.Context) (string, error) {
	home, err := filepath.Abs(filepath.Join(p.Root, ".cache", fmt.Sprintf("vault-%x", sha256.Sum256([]byte(vaultMod+fmt.Sprint(vaultSDK, vaultPatches, vaultBuilds))))[:len("vault-")+12]))
	if err != nil {
		return "", fmt.Errorf("finding the folder for Vault: %w", err)
	}
	if _, err := os.Stat(home); err == nil {
		return home, nil
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("looking for Vault: %w", err)
	}
	// Into another folder first: a build cut short must not look like a whole one.
	partial := home + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", fmt.Errorf("clearing an earlier build of Vault: %w", err)
	}
	p.say("building Vault, once; this takes some minutes")
	if err := vaultSources(ctx, partial); err != nil {
		return "", fmt.Errorf("preparing the build of Vault: %w", err)
	}
	for _, b := range vaultBuilds {
		build := repo.Cmd{
			Dir: partial, Env: []string{"GOWORK=off", "CGO_ENABLED=0"},
			Args: []string{"go", "build", "-mod=mod", "-tags=minimal", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(partial, filepath.FromSlash(b.out)), b.pkg},
		}
		if err := build.Run(ctx); err != nil {
			return "", fmt.Errorf("building Vault: %w", err)
		}
	}
	if err := os.Rename(partial, home); err != nil {
		return "", fmt.Errorf("keeping what was built of Vault: %w", err)
	}
	return home, nil
}

// vaultSources lays out the module in a folder.
func vaultSources(ctx context.Context, dir string) error {
	download := repo.Cmd{Dir: os.TempDir(), Env: []string{"GOWORK=off"}, Args: []string{"go", "mod", "download", "-json", vaultSDK}}
	answer, err := download.Output(ctx)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(answer, &module); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, "sdk"), os.DirFS(module.Dir)); err != nil {
		return err
	}
	for _, patch := range vaultPatches {
		file := filepath.Join(dir, "sdk", filepath.FromSlash(patch.file))
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if bytes.Count(text, []byte(patch.old)) != 1 {
			return fmt.Errorf("%s is not what the patch is for: look at vaultPatches", patch.file)
		}
		if err := os.WriteFile(file, bytes.Replace(text, []byte(patch.old), []byte(patch.new), 1), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "go.mod"), []byte(vaultMod), 0o600)
}
