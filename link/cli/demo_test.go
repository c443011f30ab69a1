package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/lsm/fiso/link/internal/demo"
)

func TestDemo_printsItsTotalsAsJSON(t *testing.T) {
	code, out, errs := call(t.Context(), nil, "demo", "--length", "2s", "-o", "json", "--keep")
	var sum demo.Summary
	if err := json.Unmarshal([]byte(out), &sum); err != nil || code != 0 || sum.Calls == 0 || sum.OrdersTwice+sum.SecretsSeen != 0 {
		t.Errorf("exit %d, %v\n%s%s", code, err, out, errs)
	}
}

func TestDemo_keepsRunningWhenAsked(t *testing.T) {
	logs, stop := running(t, nil, "demo", "--length", "1s", "--keep")
	until(t, "the demo to stay", func() bool { return strings.Contains(logs.String(), "Still running, until Ctrl-C") })
	base := between(logs.String(), "curl -i ", "shop/orders/1")
	resp, err := http.Get(base + "shop/orders/1") //nolint:forbidigo // a test on loopback, bounded by its own end
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections() //nolint:forbidigo // of this test
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a call to try: %s", resp.Status)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit %d\n%s", code, logs)
	}
}
