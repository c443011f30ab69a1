package credential

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/spec"
)

func TestNew_provesACallInTheWayOfItsType(t *testing.T) {
	ref := &spec.SecretRef{EnvVar: "TOKEN"}
	for _, c := range []struct {
		name        string
		auth        spec.Auth
		field, want string
		owns        []string
	}{
		{"bearer", spec.Auth{Type: "bearer", SecretRef: ref}, "Authorization", "Bearer c4n4ry-env", []string{"authorization"}},
		{"apiKey by default", spec.Auth{Type: "apiKey", SecretRef: ref}, "X-API-Key", "c4n4ry-env", []string{"AUTHORIZATION", "x-api-key"}},
		{"apiKey in a header", spec.Auth{Type: "apiKey", SecretRef: ref, Header: "X-Key"}, "X-Key", "c4n4ry-env", []string{"Authorization", "x-key"}},
		{"basic", spec.Auth{Type: "basic", SecretRef: ref, Username: "bob"}, "Authorization", "Basic Ym9iOmM0bjRyeS1lbnY=", []string{"Authorization"}},
		{"mtls", spec.Auth{Type: "mtls"}, "Authorization", "", []string{"Authorization"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cred := mustNew(t, c.auth, new(watch).parts(nil))
			sends(t, cred, c.field, c.want)
			for _, field := range c.owns {
				if !cred.Owns(field) {
					t.Errorf("a caller's %s would go on", field)
				}
			}
			if cred.Owns("Accept") || cred.Owns("X-Amz-Date") {
				t.Error("fields of the caller's are taken that are not the credential's")
			}
			out := mustApply(t, cred)
			if cred.Renew(t.Context(), out) {
				t.Error("a variable of the environment was renewed")
			}
			if at, ok := cred.Expiry(); ok {
				t.Errorf("ends at %v", at)
			}
		})
	}
}

func TestApply_replacesWhatIsThere(t *testing.T) {
	c := mustNew(t, spec.Auth{Type: "bearer", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}}, new(watch).parts(nil))
	out, err := apply(t, c, "", http1.Field{Name: "authorization", Value: "Bearer theirs"}, http1.Field{Name: "Accept", Value: "*/*"})
	if err != nil || len(out.Header) != 2 || out.Header.Get("Authorization") != "Bearer c4n4ry-env" {
		t.Errorf("%v %v", out.Header, err)
	}
}

func TestNew_refusesWhatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name, words string
		auth        spec.Auth
	}{
		{"no secret", "names no secret", spec.Auth{Type: "bearer"}},
		{"a second one missing", "names no secret", spec.Auth{Type: "sigv4", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}}},
		{"no secret of a client", "names no secret", spec.Auth{Type: "oauth2"}},
		{"no Vault", "needs the block vault", spec.Auth{Type: "bearer", SecretRef: &spec.SecretRef{VaultRef: &spec.VaultRef{Path: "a", Key: "b"}}}},
		{"a name that climbs", `name is not that of a Secret`, spec.Auth{Type: "bearer", SecretRef: &spec.SecretRef{Name: "../x", Key: "k"}}},
		{"a key that climbs", `name is not that of a Secret`, spec.Auth{Type: "bearer", SecretRef: &spec.SecretRef{Name: "x", Key: ".."}}},
		{"an unknown type", `"magic" is not known`, spec.Auth{Type: "magic"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := New(&c.auth, new(watch).parts(nil)); err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want %q", err, c.words)
			}
		})
	}
	if c, err := New(&spec.Auth{Type: "none"}, Parts{}); c != nil || err != nil {
		t.Errorf("none is %v, %v", c, err)
	}
}

func TestSecret_thatCannotBeSentIsRefusedWithoutShowingIt(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) *spec.SecretRef {
		writeFile(t, filepath.Join(dir, name), text)
		return fromFile(filepath.Join(dir, name))
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, words string
		ref         *spec.SecretRef
	}{
		{"a line break inside", "holds a line break", write("lf", canary+"\nX-Admin: yes")},
		{"a carriage return inside", "holds a line break", write("cr", canary+"\rX")},
		{"a NUL", "control character", write("nul", canary+"\x00")},
		{"nothing", "is empty", write("empty", "\n")},
		{"no file", "does not exist: is the Secret mounted", fromFile(filepath.Join(dir, "gone"))},
		{"a folder", "cannot be read: it must be a regular file", fromFile(dir)},
		{"a named pipe", "cannot be read: it must be a regular file", fromFile(pipe)}, // U16
		{"too large", "at most 1 MiB", write("large", strings.Repeat(canary, 1<<18))},
		{"no variable", "the environment variable that auth.secretRef.envVar names is empty", &spec.SecretRef{EnvVar: "NONE"}},
		{"no mounted Secret", "the file of the Secret that auth.secretRef names, under /etc/fiso/secrets, does not exist", &spec.SecretRef{Name: "fiso-test-gone", Key: "key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, auth := range []spec.Auth{
				{Type: "bearer"}, {Type: "apiKey"}, {Type: "apiKey", Query: "q"}, {Type: "basic", Username: "u"},
				{Type: "oauth2", TokenURL: "http://127.0.0.1:1/"}, {Type: "sigv4", AccessKeyRef: &spec.SecretRef{EnvVar: "TOKEN"}},
			} {
				w := &watch{}
				auth.SecretRef = c.ref
				cred := mustNew(t, auth, w.parts(nil))
				refuses(t, cred, call.CredentialUnavailable, c.words)
				if at, ok := cred.Expiry(); ok {
					t.Errorf("%s: what is not there ends at %v", auth.Type, at)
				}
				if w.refreshed() != "failure" || !strings.Contains(w.logged(), "in_use=false") {
					t.Errorf("%s: told %q, logged %q", auth.Type, w.refreshed(), w.logged())
				}
				w.keepsQuiet(t)
			}
		})
	}
}

func TestSecret_fileThatMayNotBeReadSaysSo(t *testing.T) {
	if got := errUnreadable(&fs.PathError{Err: syscall.EACCES}); !strings.Contains(got, "may not be read: give the user") {
		t.Error(got)
	}
}

// F14, https://github.com/jimmidyson/configmap-reload/issues/190: a mounted Secret
// changes by a swap of its folder.
func TestSecret_followsTheSwapOfAMountedOne(t *testing.T) {
	dir := t.TempDir()
	swap := func(version, text string) {
		folder := filepath.Join(dir, "crm", version)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(folder, "token"), text)
		same := time.Unix(1700000000, 0) // equal sizes and times, as reproducible mounts have
		if err := os.Chtimes(filepath.Join(folder, "token"), same, same); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(dir, "crm", "..data")
		if err := os.Symlink(version, link+"_tmp"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+"_tmp", link); err != nil {
			t.Fatal(err)
		}
	}
	swap("..v1", "one")
	if err := os.Symlink("..data/token", filepath.Join(dir, "crm", "token")); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &watch{}
		p := w.parts(nil)
		p.Env = func(string) (string, bool) { return dir, true }
		c := mustNew(t, spec.Auth{Type: "bearer", SecretRef: &spec.SecretRef{Name: "crm", Key: "token"}}, p)
		old := mustApply(t, c)
		if old.Header.Get("Authorization") != "Bearer one" {
			t.Error(old.Header)
		}
		swap("..v2", "two")
		sends(t, c, "Authorization", "Bearer one") // checked less than a second ago
		time.Sleep(checkInterval)
		sends(t, c, "Authorization", "Bearer two")
		if !c.Renew(t.Context(), old) {
			t.Error("a call with the old one was not made again with the new one")
		}
		if w.refreshed() != "success success" {
			t.Error(w.refreshed())
		}
	})
}

func TestSecret_renewReadsTheFileAtOnce(t *testing.T) {
	path := secretFile(t, "one")
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, spec.Auth{Type: "apiKey", Query: "key", SecretRef: fromFile(path)}, Parts{})
		out := mustApply(t, c)
		if c.Renew(t.Context(), out) {
			t.Error("nothing had changed")
		}
		writeFile(t, path, "two")
		if c.Renew(ended(t), out) && mustApply(t, c).Query != "key=two" {
			t.Error("renewed by a call that is over")
		}
		if !c.Renew(t.Context(), out) || mustApply(t, c).Query != "key=two" {
			t.Error("the changed file was not read")
		}
	})
}

func TestSecret_isUsedForAMinuteWhenItsFileGoes(t *testing.T) {
	path := secretFile(t, canary)
	synctest.Test(t, func(t *testing.T) {
		w := &watch{}
		c := mustNew(t, spec.Auth{Type: "bearer", SecretRef: fromFile(path)}, w.parts(nil))
		mustApply(t, c)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			time.Sleep(checkInterval)
			sends(t, c, "Authorization", "Bearer "+canary)
		}
		if !strings.Contains(w.logged(), "in_use=true") || strings.Count(w.logged(), "\n") != 1 {
			t.Errorf("logged %s", w.logged())
		}
		time.Sleep(checkInterval)
		refuses(t, c, call.CredentialUnavailable, "is the Secret mounted")
		writeFile(t, path, canary+"2")
		time.Sleep(checkInterval)
		sends(t, c, "Authorization", "Bearer "+canary+"2")
		if !strings.Contains(w.logged(), "secret readable again") {
			t.Error(w.logged())
		}
		w.keepsQuiet(t)
	})
}

func TestSecret_halfWrittenDoesNotTakeThePlaceOfAGoodOne(t *testing.T) {
	path := secretFile(t, "good")
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, spec.Auth{Type: "bearer", SecretRef: fromFile(path)}, Parts{})
		mustApply(t, c)
		for _, text := range []string{"", "\n", "a\nb"} {
			writeFile(t, path, text)
			time.Sleep(checkInterval)
			sends(t, c, "Authorization", "Bearer good")
		}
	})
}

func TestBearer_neverSendsAnExpiredToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Minute)
		path := secretFile(t, expiring(end))
		c := mustNew(t, spec.Auth{Type: "bearer", SecretRef: fromFile(path)}, Parts{})
		old := mustApply(t, c)
		if at, ok := c.Expiry(); !ok || !at.Equal(end) {
			t.Errorf("ends at %v, want %v", at, end)
		}
		time.Sleep(time.Minute - expiryMargin - 1)
		mustApply(t, c)
		time.Sleep(time.Nanosecond)
		refuses(t, c, call.CredentialExpired, "has expired: put a new one there")
		writeFile(t, path, expiring(end.Add(-time.Second)))
		time.Sleep(2 * time.Second)
		if c.Renew(t.Context(), old) {
			t.Error("another expired token is no reason for another attempt")
		}
		writeFile(t, path, expiring(end.Add(time.Hour)))
		time.Sleep(checkInterval)
		mustApply(t, c)
	})
}

func TestJWTEnd_isReadOnlyWhereThereIsOne(t *testing.T) {
	for _, c := range []struct{ name, token, want string }{
		{"none", "opaque", ""},
		{"no claims", "a.b.c", ""},
		{"no base64", "a.!!.c", ""},
		{"no exp", jwt(`{"sub":"x"}`), ""},
		{"an exp of another kind", jwt(`{"exp":"soon"}`), ""},
		{"an exp before all time", jwt(`{"exp":-5}`), ""},
		{"an exp beyond all time", jwt(`{"exp":1e300}`), ""},
		{"a fraction", jwt(`{"exp":1700000000.9}`), "2023-11-14T22:13:20Z"},
		{"padded", "e30." + "eyJleHAiOjE3MDAwMDAwMDB9" + "==.x", "2023-11-14T22:13:20Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if at := jwtEnd(c.token); !at.IsZero() {
				got = at.UTC().Format(time.RFC3339)
			}
			if got != c.want {
				t.Errorf("ends %q, want %q", got, c.want)
			}
		})
	}
}

func TestApply_allocatesNothingWhileTheSecretStays(t *testing.T) {
	ref := &spec.SecretRef{EnvVar: "TOKEN"}
	for _, auth := range []spec.Auth{{Type: "bearer", SecretRef: ref}, {Type: "apiKey", SecretRef: ref}, {Type: "basic", Username: "u", SecretRef: ref}} {
		c := mustNew(t, auth, new(watch).parts(nil))
		out := &http1.Outgoing{Header: make(http1.Header, 0, 8)}
		ctx := t.Context()
		n := testing.AllocsPerRun(1000, func() {
			out.Header = out.Header[:0]
			if err := c.Apply(ctx, out); err != nil {
				t.Fatal(err)
			}
		})
		if n >= 0.5 { // the check of the source, once a second, may fall in between
			t.Errorf("%s: %v allocations a call", auth.Type, n)
		}
	}
}

func TestApply_waitsForNobodyWhileThereIsSomethingToUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mustNew(t, spec.Auth{Type: "bearer", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}}, new(watch).parts(nil)).(*staticCredential)
		mustApply(t, c)
		time.Sleep(checkInterval)
		c.secrets.checking <- struct{}{} // a check in progress
		var calls sync.WaitGroup
		for range 64 {
			calls.Go(func() { sends(t, c, "Authorization", "Bearer c4n4ry-env") })
		}
		calls.Wait()
		<-c.secrets.checking
	})
}

func TestApply_endsWithItsCall(t *testing.T) {
	c := mustNew(t, spec.Auth{Type: "bearer", SecretRef: &spec.SecretRef{EnvVar: "TOKEN"}}, new(watch).parts(nil)).(*staticCredential)
	c.secrets.checking <- struct{}{}
	if err := c.Apply(ended(t), &http1.Outgoing{}); err == nil || !strings.Contains(err.Error(), "the call ended before") {
		t.Error(err)
	}
	<-c.secrets.checking
}

// swapped is one of two files that are replaced between their reads.
type swapped struct {
	source
	name  string
	reads *int // of both
}

func (s swapped) read(context.Context) (secretReading, error) {
	*s.reads++
	if *s.reads == 1 {
		return secretReading{text: s.name + "1"}, nil
	}
	return secretReading{text: s.name + "2"}, nil
}

func (swapped) where() string { return "a test" }

func TestSecrets_ofOneCredentialAreNeverHalfOldHalfNew(t *testing.T) {
	reads := 0
	s := &secrets{
		parts: Parts{}.filled(), checking: make(chan struct{}, 1),
		sources: []source{swapped{name: "key", reads: &reads}, swapped{name: "secret", reads: &reads}},
		build:   func(v []string) (wireCredential, error) { return clientSecret(v[0] + ":" + v[1]), nil },
	}
	if got := mustGet(t, s); got != "key2:secret2" {
		t.Errorf("got %s", got)
	}
}
