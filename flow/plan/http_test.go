package plan

import (
	"path/filepath"
	"strings"
	"testing"

	fisohttp "github.com/lsm/fiso/connectors/http"
)

// U20: the HMAC covers only the body, and not the headers of a binary event.
func TestHTTPSource_saysWhatASignatureDoesNotCover(t *testing.T) {
	for _, row := range []struct{ auth, want string }{
		{"none", "POST to /in on :8080"},
		{"bearer", "POST to /in on :8080"},
		{"hmac", "POST to /in on :8080; the signature covers the body alone, " +
			"and a request that is sent again may have other headers: let callers send structured events"},
	} {
		c := httpSource{SourceConfig: fisohttp.SourceConfig{Listen: ":8080", Path: "/in", Auth: fisohttp.SourceAuth{Type: row.auth}}}
		if got := c.describe(); got != row.want {
			t.Errorf("%s: %q; want %q", row.auth, got, row.want)
		}
	}
}

func httpFlow(name, source, sink, more string) string {
	return "name: " + name + "\nsource: {type: http, config: {" + source + "}}\nsink: {type: http, config: {" + sink + "}}\n" +
		"errorHandling: {deadLetter: {type: file, config: {path: /x}}}\n" + more
}

// U41: a flow that posts to its own source was valid, and multiplied events.
func TestParse_refusesAFlowThatPostsToItself(t *testing.T) {
	for name, tc := range map[string]struct {
		source, sink string
		refused      bool
	}{
		"the same":                        {"listen: '127.0.0.1:18084'", "url: 'http://127.0.0.1:18084/'", true},
		"no path, a query":                {"listen: '127.0.0.1:18084'", "url: 'http://127.0.0.1:18084?a=b'", true},
		"a path":                          {"listen: '127.0.0.1:18084', path: /a", "url: 'http://127.0.0.1:18084/a'", true},
		"localhost":                       {"listen: '127.0.0.1:18084'", "url: 'http://LocalHost:18084/'", true},
		"any address":                     {"listen: ':18084'", "url: 'http://127.0.0.1:18084/'", true},
		"any address, localhost":          {"listen: ':18084'", "url: 'http://localhost:18084/'", true},
		"any address, IPv6":               {"listen: '[::]:18084'", "url: 'http://[::1]:18084/'", true},
		"any IPv4 address":                {"listen: '0.0.0.0:18084'", "url: 'http://0.0.0.0:18084/'", true},
		"the default address and port":    {"path: /a", "url: 'http://127.0.0.1:8080/a'", true},
		"the port of http":                {"listen: '127.0.0.1:80'", "url: 'http://127.0.0.1/'", true},
		"a host name":                     {"listen: 'flow:18084'", "url: 'http://flow:18084/'", true},
		"another path":                    {"listen: '127.0.0.1:18084', path: /a", "url: 'http://127.0.0.1:18084/b'", false},
		"another port":                    {"listen: '127.0.0.1:18084'", "url: 'http://127.0.0.1:18085/'", false},
		"another address":                 {"listen: '127.0.0.1:18084'", "url: 'http://127.0.0.2:18084/'", false},
		"another family":                  {"listen: '0.0.0.0:18084'", "url: 'http://[::1]:18084/'", false},
		"another host":                    {"listen: ':18084'", "url: 'http://orders:18084/'", false},
		"a free port":                     {"listen: '127.0.0.1:0'", "url: 'http://127.0.0.1/'", false},
		"a method that the source denies": {"listen: '127.0.0.1:18084'", "url: 'http://127.0.0.1:18084/', method: PUT", false},
		"another protocol":                {"listen: '127.0.0.1:18084'", "url: 'https://127.0.0.1:18084/'", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("flow.yaml", []byte(httpFlow("a", tc.source, tc.sink, "")))
			if !tc.refused {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			const want = "sink.config.url: this flow's source listens there: each event would come back endlessly; send to another address or path"
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "flow.yaml:3:") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// U41: two files were valid together, and run refused them.
func TestParseDir_refusesHTTPFlowsThatDoNotGoTogether(t *testing.T) {
	const sink = "url: 'http://orders/'"
	for name, tc := range map[string]struct{ one, two, want string }{
		"one path":          {httpFlow("a", "listen: '127.0.0.1:1'", sink, ""), httpFlow("b", "listen: '127.0.0.1:1'", sink, ""), "source.config.path: the flow a (DIR/0.yaml) listens on 127.0.0.1:1 with the path / already; give this one a path of its own"},
		"defaults":          {httpFlow("a", "", sink, ""), httpFlow("b", "", sink, ""), "source.config.path: the flow a (DIR/0.yaml) listens on :8080 with the path / already"},
		"two spellings":     {httpFlow("a", "listen: '127.0.0.1:1'", sink, ""), httpFlow("b", "listen: 'localhost:1', path: /b", sink, ""), "source.config.listen: the flow a (DIR/0.yaml) listens there already and writes the address as 127.0.0.1:1"},
		"other settings":    {httpFlow("a", "listen: '127.0.0.1:1'", sink, ""), httpFlow("b", "listen: '127.0.0.1:1', path: /b, readTimeout: 7s", sink, ""), "source.config.readTimeout: the flow a (DIR/0.yaml) listens on 127.0.0.1:1 with a different readTimeout"},
		"a circle":          {httpFlow("a", "listen: ':1'", "url: 'http://localhost:1/b'", ""), httpFlow("b", "listen: ':1', path: /b", "url: 'http://127.0.0.1:1/'", ""), "the flows a, b, a read what the one before them writes: each event would go round endlessly"},
		"two paths":         {httpFlow("a", "listen: '127.0.0.1:1'", sink, ""), httpFlow("b", "listen: '127.0.0.1:1', path: /b", sink, ""), ""},
		"two ports":         {httpFlow("a", "listen: '127.0.0.1:1'", sink, ""), httpFlow("b", "listen: '127.0.0.1:2'", sink, ""), ""},
		"one is paused":     {httpFlow("a", "listen: '127.0.0.1:1'", sink, "paused: true\n"), httpFlow("b", "listen: '127.0.0.1:1'", sink, ""), ""},
		"free ports":        {httpFlow("a", "listen: '127.0.0.1:0'", sink, ""), httpFlow("b", "listen: '127.0.0.1:0'", sink, ""), ""},
		"a chain":           {httpFlow("a", "listen: ':1'", "url: 'http://localhost:1/b'", ""), httpFlow("b", "listen: ':1', path: /b", sink, ""), ""},
		"a circle, filters": {httpFlow("a", "listen: ':1'", "url: 'http://localhost:1/b'", "filter: 'type == \"x\"'\n"), httpFlow("b", "listen: ':1', path: /b", "url: 'http://127.0.0.1:1/'", ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "0.yaml"), tc.one)
			put(t, filepath.Join(dir, "1.yaml"), tc.two)
			_, err := ParseDir(dir)
			want := strings.ReplaceAll(tc.want, "DIR", dir)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "1.yaml:2:")) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}
