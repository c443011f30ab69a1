package http

import (
	"context"
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

func TestSink_presentsItsCredential(t *testing.T) {
	for _, row := range []struct {
		name, header, want, uri string
		auth                    SinkAuth
	}{
		{name: "bearer", auth: SinkAuth{Type: "bearer", Token: config.NewSecret("t0ken")}, header: "Authorization", want: "Bearer t0ken"},
		{name: "basic", auth: SinkAuth{Type: "basic", Username: "us", Password: config.NewSecret("p:w")}, header: "Authorization", want: "Basic dXM6cDp3"},
		{name: "apiKey", auth: SinkAuth{Type: "apiKey", Key: config.NewSecret("k")}, header: "X-Api-Key", want: "k"},
		{name: "apiKey elsewhere", auth: SinkAuth{Type: "apiKey", Key: config.NewSecret("k"), Header: "X-Other"}, header: "X-Other", want: "k"},
		{name: "apiKey in the query", auth: SinkAuth{Type: "apiKey", Key: config.NewSecret("k &"), Query: "api key"}, header: "X-Api-Key", uri: "/p?a=1&api+key=k+%26"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := sinkConfig("")
			cfg.Auth = row.auth
			got := sendOne(t, cfg, "/p?a=1", order("1"))
			if v := got.r.Header.Get(row.header); v != row.want {
				t.Errorf("%s is %q; want %q", row.header, v, row.want)
			}
			if row.uri != "" && got.r.RequestURI != row.uri {
				t.Errorf("request target is %s; want %s", got.r.RequestURI, row.uri)
			}
		})
	}
	cfg := sinkConfig("")
	cfg.Auth = SinkAuth{Type: "apiKey", Key: config.NewSecret("k"), Query: "q"}
	if got := sendOne(t, cfg, "/p", order("1")); got.r.RequestURI != "/p?q=k" {
		t.Errorf("request target is %s", got.r.RequestURI)
	}
}

func TestSink_followsARotatedToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	tokens := make(chan string, 1)
	p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
		tokens <- r.Header.Get("Authorization")
		return says(okAnswer)(n, c, r)
	})
	cfg := sinkConfig(p.url)
	cfg.Auth = SinkAuth{Type: "bearer", Token: config.SecretFile(file)}
	s := newSink(t, cfg)
	token := func() string {
		if err := s.Send(t.Context(), order("1")); err != nil {
			t.Fatal(err)
		}
		return <-tokens
	}
	if got := token(); got != "Bearer first" {
		t.Fatalf("token is %q", got)
	}
	write("the second")
	eventually(t, "the new token is used", func() bool { return token() == "Bearer the second" })
}

func TestSink_withoutItsCredentialIsBlocked(t *testing.T) {
	p := newPeer(t, says(okAnswer))
	for name, secret := range map[string]config.Secret{
		"no file":    config.SecretFile(filepath.Join(t.TempDir(), "none")),
		"empty":      config.NewSecret(""),
		"line break": config.NewSecret("canary\r\nX-Evil: 1"),
	} {
		t.Run(name, func(t *testing.T) {
			cfg := sinkConfig(p.url)
			cfg.Auth = SinkAuth{Type: "bearer", Token: secret}
			s := newSink(t, cfg)
			err := s.Send(t.Context(), order("1"))
			wantClass(t, err, connector.Blocked)
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("text is %q", err)
			}
			if steps := s.Check(t.Context()); len(steps) != 1 || steps[0].Err == nil || steps[0].Name != "read the credential" {
				t.Errorf("check: %v", steps)
			}
		})
	}
	if p.requests.Load() != 0 {
		t.Error("a request was sent without its credential")
	}
}

// L10: credentials leak through errors and redirects.
// https://github.com/hashicorp/go-retryablehttp/issues/206
// https://github.com/stefanwichmann/kelvin/issues/150
func TestSink_secretsAppearInNoError(t *testing.T) {
	const canary = "c4n4ry/+= s3cret"
	echo := func(_ int64, c net.Conn, r *nethttp.Request) bool {
		user, password, _ := r.BasicAuth()
		body := "you sent " + r.Header.Get("Authorization") + r.Header.Get("X-Api-Key") + " to " + r.RequestURI + " " + user + password + r.URL.Query().Get("key")
		_, err := io.WriteString(c, "HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n"+body)
		return err == nil && false
	}
	answers := map[string]func(int64, net.Conn, *nethttp.Request) bool{
		"an answer that echoes": echo,
		"a redirect that echoes": func(_ int64, c net.Conn, r *nethttp.Request) bool {
			_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: http://u:"+"s3cret@other/?"+r.URL.RawQuery+"&t="+r.Header.Get("X-Api-Key")+"\r\n\r\n")
			return false
		},
		"an answer that is malformed": func(_ int64, c net.Conn, r *nethttp.Request) bool {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX "+canary+r.Header.Get("Authorization")+"\r\n\r\n")
			return false
		},
		"no answer": func(int64, net.Conn, *nethttp.Request) bool { return false },
	}
	auths := map[string]SinkAuth{
		"bearer": {Type: "bearer", Token: config.NewSecret(canary)},
		"basic":  {Type: "basic", Username: "user", Password: config.NewSecret(canary)},
		"apiKey": {Type: "apiKey", Key: config.NewSecret(canary)},
		"query":  {Type: "apiKey", Key: config.NewSecret(canary), Query: "key"},
	}
	for how, answer := range answers {
		for kind, auth := range auths {
			p := newPeer(t, answer)
			cfg := sinkConfig(p.url + "/path?sig=s3cret")
			cfg.Auth = auth
			s := newSink(t, cfg)
			checkNoSecret(t, how+", "+kind, s.Send(t.Context(), order("1")))
			for _, step := range s.Check(t.Context()) {
				checkNoSecret(t, "check, "+how+", "+kind, errors.Join(errors.New(step.Name), step.Err))
			}
		}
	}
	cfg := sinkConfig("http://127.0.0.1:1/path?sig=s3cret")
	cfg.Auth = auths["query"]
	checkNoSecret(t, "connection refused", newSink(t, cfg).Send(t.Context(), order("1")))
}

func checkNoSecret(t *testing.T, where string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", where)
		return
	}
	text := err.Error()
	for _, bad := range []string{"s3cret", "c4n4ry", "dXNlcjpjNG40cn", "sig="} {
		// Errors never show the query of the URL, even if the answer quotes it.
		if strings.Contains(strings.ReplaceAll(text, "to /path?sig=s3cret", ""), bad) {
			t.Errorf("%s: %q holds %q", where, text, bad)
		}
	}
}

func TestSink_checkStopsAtTheStepThatFails(t *testing.T) {
	p := newPeer(t, says("HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"))
	names := func(cfg SinkConfig, dial func(context.Context, string, string) (net.Conn, error)) (string, error) {
		var list []string
		var last error
		for _, step := range newSink(t, cfg, SinkOptions{Dial: dial}).Check(t.Context()) {
			list, last = append(list, step.Name), step.Err
		}
		return strings.Join(list, "; "), last
	}
	address := strings.TrimPrefix(p.url, "http://")
	host := strings.Replace(p.url, "127.0.0.1", "localhost", 1)
	got, err := names(sinkConfig(host), nil)
	want := "resolve localhost; connect to " + strings.Replace(address, "127.0.0.1", "localhost", 1) + "; ask OPTIONS of the URL: 405 Method Not Allowed"
	if got != want || err != nil {
		t.Errorf("steps are %q (%v); want %q", got, err, want)
	}
	if got, err = names(sinkConfig("http://name.invalid"), nil); got != "resolve name.invalid" || err == nil {
		t.Errorf("steps are %q (%v)", got, err)
	}
	broken := errors.New("no route")
	refuse := func(context.Context, string, string) (net.Conn, error) { return nil, broken }
	if got, err = names(sinkConfig("https://127.0.0.1:9"), refuse); got != "connect to 127.0.0.1:9 with TLS" || !errors.Is(err, broken) {
		t.Errorf("steps are %q (%v)", got, err)
	}
	silent := newPeer(t, func(int64, net.Conn, *nethttp.Request) bool { return false })
	if got, err = names(sinkConfig(silent.url), nil); !strings.HasSuffix(got, "; ask OPTIONS of the URL") || err == nil {
		t.Errorf("steps are %q (%v)", got, err)
	}
}

func TestSink_checkBoundsResolving(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if err := resolve(ctx, "name.invalid"); err == nil {
		t.Error("resolved")
	}
}
