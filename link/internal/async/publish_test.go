package async

import (
	"strings"
	"testing"
)

func TestPublish_storesTheBody(t *testing.T) {
	w := newWorld(t, "protocol: kafka\nkafka: {topic: orders, key: data.customer}", map[string]int32{"orders": 1})
	a := w.send("POST", "/link/crm", `{"customer":9007199254740993}`, "Content-Type", "application/json", "traceparent", "00-1-2-01", "X-A", "b")
	if a.status != 200 || string(a.body) != `{"topic":"orders","partition":0,"offset":0}`+"\n" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a = w.send("POST", "/link/crm/", `{"customer":null}`); a.status != 200 || !strings.Contains(string(a.body), `"offset":1`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	rs := w.records("orders")
	if len(rs) != 2 || string(rs[0].Key) != "9007199254740993" || rs[1].Key != nil || string(rs[0].Value) != `{"customer":9007199254740993}` {
		t.Fatalf("%+v", rs)
	}
	if len(rs[0].Headers) != 2 || headerOf(rs[0], "content-type") != "application/json" || headerOf(rs[0], "traceparent") != "00-1-2-01" || len(rs[1].Headers) != 0 {
		t.Errorf("%v %v", rs[0].Headers, rs[1].Headers)
	}
}

func TestPublish_carriesACloudEventOver(t *testing.T) {
	w := newWorld(t, "protocol: kafka\nkafka: {topic: orders}", map[string]int32{"orders": 1})
	ce := []string{"ce-specversion", "1.0", "Ce-Id", "1", "ce-source", "/a", "ce-type", "t%20x", "ce-tenant", "b", "content-type", "text/plain"}
	if a := w.send("POST", "/link/crm", "x", ce...); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r := w.records("orders")[0]
	for name, want := range map[string]string{"ce_id": "1", "ce_type": "t x", "ce_tenant": "b", "content-type": "text/plain"} {
		if got := headerOf(r, name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	for name, bad := range map[string][]string{"no source": {"ce-specversion", "1.0", "ce-id", "1", "ce-type", "t"}, "a version": {"ce-specversion", "0.1"}} {
		if a := w.send("POST", "/link/crm", "x", bad...); a.status != 400 || a.header.Get("fiso-error") != "BAD_REQUEST" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestPublish_refusesWhatIsNoPublishing(t *testing.T) {
	w := newWorld(t, "protocol: kafka\nkafka: {topic: orders, maxBodyBytes: 3, key: data}", map[string]int32{"orders": 1})
	for name, test := range map[string]struct{ method, path, body, code string }{
		"GET":          {"GET", "/link/crm", "", "METHOD_NOT_ALLOWED"},
		"a path":       {"POST", "/link/crm/a", "1", "PATH_NOT_ALLOWED"},
		"a large body": {"POST", "/link/crm", "1234", "BODY_TOO_LARGE"},
		"no key":       {"POST", "/link/crm", "x", "KEY_FAILED"},
	} {
		if a := w.send(test.method, test.path, test.body); a.header.Get("fiso-error") != test.code {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	w = newWorld(t, "protocol: kafka\nkafka: {topic: missing}", nil)
	if a := w.send("POST", "/link/crm", "x"); a.status != 503 || a.header.Get("fiso-error") != "ASYNC_UNAVAILABLE" {
		t.Errorf("%d %s", a.status, a.body)
	}
}
