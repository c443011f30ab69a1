package configtest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Canary is written in place of a secret. It has two halves, because a fault may split a secret.
const (
	Canary     = canaryHead + canaryTail
	canaryHead = "c4n4ry0f4"
	canaryTail = "s3cr3tt4l3"
)

// Shown returns a part of the canary in a text, with the text around it; "" if there is none.
func Shown(text string) string {
	for _, part := range []string{canaryHead[:6], canaryTail[:6], canaryTail[4:]} {
		if at := strings.Index(text, part); at >= 0 {
			return text[max(0, at-200):min(len(text), at+100)]
		}
	}
	return ""
}

// ShownBy is Shown for all forms of an error: its text, its JSON, and the output of fmt.
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
