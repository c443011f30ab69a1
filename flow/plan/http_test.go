package plan

import (
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
