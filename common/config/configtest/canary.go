package configtest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Canary stands in a file where a secret may be. It has two halves, for a file can
// be spoilt in the middle of a secret.
const (
	Canary     = canaryHead + canaryTail
	canaryHead = "c4n4ry0f4"
	canaryTail = "s3cr3tt4l3"
)

// Shown is what of the canary is in a text, with the text around it; "" when
// nothing is.
func Shown(text string) string {
	for _, part := range []string{canaryHead[:6], canaryTail[:6], canaryTail[4:]} {
		if at := strings.Index(text, part); at >= 0 {
			return text[max(0, at-200):min(len(text), at+100)]
		}
	}
	return ""
}

// ShownBy is Shown of all forms of an error: as text, as JSON, and as fmt prints it.
func ShownBy(err error) string {
	if err == nil {
		return ""
	}
	doc, failed := json.Marshal(err)
	if failed != nil {
		return failed.Error()
	}
	return Shown(err.Error() + string(doc) + fmt.Sprintf("%+v", err))
}
