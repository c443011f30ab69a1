package temporal

import (
	"errors"
	"fmt"

	"go.temporal.io/api/serviceerror"
	"google.golang.org/grpc/codes"
)

// maxReason is how much of a server's text an error quotes, in bytes.
const maxReason = 300

// explain says what an error of the server means for the source, and what to do. nil stays
// nil.
func explain(err error, cfg *ClientConfig) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*serviceerror.NamespaceNotFound](err); ok {
		return noNamespace(cfg)
	}
	st := serviceerror.ToStatus(err)
	reason := clip(st.Message(), maxReason)
	switch st.Code() {
	case codes.NotFound:
		return noNamespace(cfg)
	case codes.PermissionDenied:
		return fmt.Errorf("temporal at %s refuses namespace %q: %s; check auth, and what the credential may do in the namespace", cfg.Address, cfg.Namespace, reason)
	case codes.Unauthenticated:
		return fmt.Errorf("temporal at %s does not accept the credential: %s; check auth, or the client certificate in tls", cfg.Address, reason)
	case codes.Unavailable, codes.DeadlineExceeded:
		return fmt.Errorf("temporal at %s does not answer: %s; if it runs, check address and tls", cfg.Address, reason)
	case codes.ResourceExhausted:
		return fmt.Errorf("temporal at %s limits this worker: %s; check the limits of the namespace", cfg.Address, reason)
	}
	return fmt.Errorf("temporal at %s: %s", cfg.Address, reason)
}

func noNamespace(cfg *ClientConfig) error {
	return fmt.Errorf("temporal at %s has no namespace %q; create it (temporal operator namespace create), or correct namespace", cfg.Address, cfg.Namespace)
}

// clip returns the start of a text, in whole characters.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && text[most]&0xC0 == 0x80 { // inside of a character
		most--
	}
	return text[:most] + "…"
}
