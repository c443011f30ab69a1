package http

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/config"
)

func secret(s string) config.Secret { return config.NewSecret(s) }

// sign returns a signature in the form of GitHub.
func sign(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func unixNow() string { return strconv.FormatInt(time.Now().Unix(), 10) }

func TestSource_authenticatesCallers(t *testing.T) {
	const body = `{"zen":1}`
	ago := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(-d).Unix(), 10) }
	mac512 := hmac.New(sha512.New, []byte("canary"))
	mac512.Write([]byte(body))
	sum512 := mac512.Sum(nil)
	type pairs [][]string
	for _, row := range []struct {
		name      string
		auth      SourceAuth
		challenge string
		good, bad pairs
	}{
		{
			name: "bearer", challenge: "Bearer ",
			auth: SourceAuth{Type: "bearer", Token: secret("canary"), Tokens: []config.Secret{secret("canary2")}},
			good: pairs{{"Authorization", "Bearer canary"}, {"Authorization", "bearer canary2"}},
			bad:  pairs{{}, {"Authorization", "Bearer canary3"}, {"Authorization", "Bearer "}, {"Authorization", "canary"}, {"Authorization", "Basic canary"}},
		},
		{
			name: "only tokens", challenge: "Bearer ",
			auth: SourceAuth{Type: "bearer", Tokens: []config.Secret{secret(""), secret("canary")}},
			good: pairs{{"Authorization", "Bearer canary"}},
			bad:  pairs{{"Authorization", "Bearer "}, {"Authorization", "Bearer"}},
		},
		{
			name: "basic", challenge: "Basic ",
			auth: SourceAuth{Type: "basic", Username: "u", Password: secret("canary")},
			good: pairs{{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("u:canary"))}},
			bad:  pairs{{}, {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("x:canary"))}, {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("u:x"))}, {"Authorization", "Basic !"}},
		},
		{
			name: "hmac as GitHub does", challenge: "Signature ",
			auth: SourceAuth{Type: "hmac", Secret: secret("canary")},
			good: pairs{{"X-Hub-Signature-256", sign("canary", body)}, {"X-Hub-Signature-256", strings.TrimPrefix(sign("canary", body), "sha256=")}},
			bad:  pairs{{}, {"X-Hub-Signature-256", sign("other", body)}, {"X-Hub-Signature-256", sign("canary", body+" ")}, {"X-Hub-Signature-256", "sha256=zz"}, {"X-Hub-Signature-256", "sha256="}, {"X-Hub-Signature-256", strings.Repeat("a", 1000)}},
		},
		{
			name: "hmac of other making", challenge: "Signature ",
			auth: SourceAuth{Type: "hmac", Secrets: []config.Secret{secret("old"), secret("canary")}, Header: "X-Sig", Algorithm: "sha512", Encoding: "base64", Prefix: "v1="},
			good: pairs{{"X-Sig", "v1=" + base64.StdEncoding.EncodeToString(sum512)}},
			bad:  pairs{{"X-Hub-Signature-256", sign("canary", body)}, {"X-Sig", "v1=" + hex.EncodeToString(sum512)}},
		},
		{
			name: "hmac with a time", challenge: "Signature ",
			auth: SourceAuth{Type: "hmac", Secret: secret("canary"), TimestampHeader: "X-Time", Tolerance: time.Minute},
			good: pairs{{"X-Time", ago(0), "X-Hub-Signature-256", sign("canary", ago(0)+"."+body)}},
			bad: pairs{
				{"X-Hub-Signature-256", sign("canary", body)},
				{"X-Time", ago(0), "X-Hub-Signature-256", sign("canary", body)},
				{"X-Time", ago(0), "X-Hub-Signature-256", sign("canary", ago(10*time.Second)+"."+body)},
				{"X-Time", ago(time.Hour), "X-Hub-Signature-256", sign("canary", ago(time.Hour)+"."+body)},
				{"X-Time", ago(-time.Hour), "X-Hub-Signature-256", sign("canary", ago(-time.Hour)+"."+body)},
				{"X-Time", "9223372036854775807", "X-Hub-Signature-256", sign("canary", "9223372036854775807."+body)},
				{"X-Time", "-9223372036854775808", "X-Hub-Signature-256", sign("canary", "-9223372036854775808."+body)},
				{"X-Time", "soon", "X-Hub-Signature-256", sign("canary", "soon."+body)},
			},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			var c collect
			cfg := sourceConfig()
			cfg.Auth = row.auth
			s := startSource(t, cfg, SourceOptions{}, c.handle)
			for _, headers := range row.good {
				ask(t, "POST", s.url, body, headers...).want(t, 200, "")
			}
			for _, headers := range row.bad {
				a := ask(t, "POST", s.url, body, headers...)
				a.want(t, 401, "UNAUTHORIZED")
				if challenge := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(challenge, row.challenge) || strings.Contains(a.body, "canary") {
					t.Errorf("%q: challenge %q, answer %s", headers, challenge, a.body)
				}
			}
			if n := len(c.messages()); n != len(row.good) {
				t.Errorf("%d messages", n)
			}
		})
	}
}

func TestSource_cannotJudgeWithoutItsOwnSecret(t *testing.T) {
	cfg := sourceConfig()
	cfg.Auth = SourceAuth{Type: "bearer", Token: config.SecretFile(filepath.Join(t.TempDir(), "none")), Tokens: []config.Secret{secret("b")}}
	s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
	ask(t, "POST", s.url, "x", "Authorization", "Bearer a").want(t, 503, "FAILED")
	ask(t, "POST", s.url, "x", "Authorization", "Bearer b").want(t, 200, "")
}

// U20: an empty secret file lets nobody in: its owner may have emptied it for that.
func TestAuthorizer_letsNobodyInByASecretThatWasEmptied(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		a := authorizer{secrets: []config.Secret{config.SecretFile(file)}}
		fits := func(secret string) bool { return secret == "key" }
		if err := a.anySecret(fits); err != nil {
			t.Error(err)
		}
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // virtual
		if err := a.anySecret(fits); err == nil || err.Error() != "read secret: "+file+" is empty: put the value there" {
			t.Errorf("got %v", err)
		}
	})
}

func FuzzParseSignature(f *testing.F) {
	good := sign("k", "x")
	for _, s := range []string{good, "sha256=", "", "sha256=" + good, strings.ToUpper(good), "\x00", " " + good + " "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		mac, err := parseSignature(s, "sha256=", hex.DecodeString, sha256.Size)
		if (err == nil) != (len(mac) == sha256.Size) {
			t.Errorf("%q became %x, %v", s, mac, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("application/cloudevents+json", "", "", []byte(structured))
	f.Add("application/cloudevents-batch+json; charset=utf-8", "", "", []byte("["+structured+"]"))
	f.Add("text/plain", "1.0", "id%20", []byte("x"))
	f.Add("application/json", "", "", []byte(`[{}]`))
	f.Add("application/cloudevents+json; charset=\xff", "0.3", "", []byte(`{`))
	d := decoder{maxEvents: 10, secret: "x-sig"}
	f.Fuzz(func(t *testing.T, contentType, version, id string, body []byte) {
		h := nethttp.Header{"X-Sig": {"canary"}, "Ce-Source": {"/"}, "Ce-Type": {"t"}}
		for name, value := range map[string]string{"Content-Type": contentType, "Ce-Specversion": version, "Ce-Id": id} {
			if value != "" {
				h.Set(name, value)
			}
		}
		in, p := d.decode(h, body)
		if (in == nil) == (p == nil) {
			t.Fatalf("%v and %v", in, p)
		}
		if p != nil {
			if p.status < 400 || p.status > 499 || p.code == "" || p.detail == "" {
				t.Errorf("problem is %+v", p)
			}
			return
		}
		if len(in.events) > 10 || !in.batch && len(in.events) != 1 {
			t.Errorf("%d events, batch %v", len(in.events), in.batch)
		}
		for _, header := range in.headers {
			if header.Key == "x-sig" {
				t.Error("the signature was passed on")
			}
		}
	})
}
