package cloudevent

import (
	"strings"
	"testing"
	"time"
)

func TestAppendHeaders_areTheAttributesOfBinaryMode(t *testing.T) {
	strange := full()
	strange.Subject, strange.Time = "a \"b\"\r\nX-Evil: 1 é", time.Time{}
	strange.SetExtension("empty", "")
	for name, e := range map[string]*Event{"full": full(), "strange": strange, "least": {ID: "1", Source: "/", Type: "t"}} {
		var want strings.Builder
		for name, value := range e.Attributes {
			want.WriteString(HTTPPrefix + name + ": " + EncodeHeader(value) + "\r\n")
		}
		if got := string(e.AppendHeaders([]byte("X: 1\r\n"))); got != "X: 1\r\n"+want.String() {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want.String())
		}
	}
	e, dst := full(), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { dst = e.AppendHeaders(dst[:0]) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
