package http

import (
	"slices"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
)

// U11: retryOn: 409 is a list of one, and a port that is not valid is found before
// anything is dialled. U20: the part of a user name after a colon would be taken for
// the password.
func TestConfig_whatPeopleWriteIsTakenOrRefusedWithItsReason(t *testing.T) {
	var sink SinkConfig
	if err := config.Decode("f.yaml", []byte("url: ' http://orders/x '\nretryOn: 409\nrejectOn: 5xx\n"), &sink); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sink.RetryOn, []Statuses{{409, 409}}) || !slices.Equal(sink.RejectOn, []Statuses{{500, 599}}) || sink.URL != "http://orders/x" {
		t.Errorf("got %+v", sink)
	}
	for name, test := range map[string]struct {
		text string
		into any
		want string
	}{
		"a port above all":   {"url: http://o:99999/x", &SinkConfig{}, "url: the port is not valid; write one from 1 to 65535, or none"},
		"port 0":             {"url: http://o:0/x", &SinkConfig{}, "url: the port is not valid"},
		"no number":          {"url: http://o:99x/x?key=CANARY", &SinkConfig{}, "url: not a URL"},
		"a listener's port":  {"listen: :99999", &SourceConfig{}, "listen: write host:port or :port"},
		"a port with a sign": {"listen: ':+80'", &SourceConfig{}, "listen: write host:port or :port"},
		"a sink's user":      {"url: http://o\nauth: {type: basic, username: 'us:CANARY', password: p}", &SinkConfig{}, "auth.username: a user name for basic must not have a colon"},
		"a source's user":    {"auth: {type: basic, username: 'us:CANARY', password: p}", &SourceConfig{}, "auth.username: a user name for basic must not have a colon"},
		"a header in a list": {"url: http://o\nheaders: {Authorization: [CANARY]}", &SinkConfig{}, "headers.Authorization: expected text, found a list"},
		"a header, bad name": {"url: http://o\nheaders: {'X Key CANARY': CANARY}", &SinkConfig{}, "not a header name"},
		"a password's tail":  {"{url: http://o, auth: {type: bearer, token: abc,CANARY}}", &SinkConfig{}, "auth.token: a comma ends a text inside of { }"},
	} {
		err := config.Decode("f.yaml", []byte(strings.ReplaceAll(test.text, "CANARY", configtest.Canary)), test.into)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v\nwant %s", name, err, test.want)
		}
		if shown := configtest.ShownBy(err); shown != "" {
			t.Errorf("%s: %s", name, shown)
		}
	}
}
