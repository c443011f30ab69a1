package temporal

import (
	"bytes"
	"testing"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/lsm/fiso/common/cloudevent"
)

// Whatever bytes a workflow sends, the source refuses them with words, or hands over those
// bytes with the id that they hold.
func FuzzEventOf(f *testing.F) {
	for _, seed := range []string{
		eventJSON("order-7", "k"), `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AA=="}`,
		`{"specversion":"1.0"}`, `[]`, `"text"`, ``, `{"specversion":"1.0","id":"` + "\xff" + `"}`,
	} {
		f.Add("json/plain", []byte(seed))
	}
	f.Add("binary/plain", []byte(eventJSON("order-7", "k")))
	f.Add("binary/encrypted", []byte("x"))
	f.Add("", []byte(nil))
	f.Fuzz(func(t *testing.T, encoding string, data []byte) {
		before := bytes.Clone(data)
		value, e, err := eventOf(&commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte(encoding)}, Data: data})
		switch {
		case !bytes.Equal(data, before):
			t.Error("the bytes were changed")
		case err != nil:
			if text := invalid(err.Error()).Error(); len(text) > 4<<10 {
				t.Errorf("the failure has %d bytes", len(text))
			}
		case !bytes.Equal(value, data) || e.ID == "" || e.Source == "" || e.Type == "":
			t.Errorf("%q is handed over as %q with the id %q", data, value, e.ID)
		default:
			var again cloudevent.Event
			if err := cloudevent.ParseJSON(value, &again); err != nil || again.ID != e.ID {
				t.Errorf("the flow reads the id %q (%v), and the message has %q", again.ID, err, e.ID)
			}
		}
	})
}
