package transform

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"

	"github.com/lsm/fiso/cel/celjson"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/lazyjson"
)

// keepNodes is how much memory for a document is kept for the next event.
const keepNodes = 1 << 14

// vars is the variables of one event, and the memory for their values. One
// event uses it at a time; it is reused for the next.
type vars struct {
	event        cloudevent.Event   // expressions see its data as doc
	plain        bool               // the message is not a CloudEvent
	outgoing     outgoing           // the event being made
	message      *connector.Message // the message of the event; nil for a sink's expressions
	idPending    bool               // id and subject are not made yet, see makeIDAndSubject
	headers      []connector.Header
	payload      []byte // the bytes of data; nil: data is null
	decoded      bool   // decode was called: doc holds the payload, or undecodable says why not
	undecodable  error
	doc          lazyjson.Doc
	dataValue    ref.Val // data as a CEL value, once it was needed
	headersValue ref.Val // headers as a CEL value, once they were needed
	time         time.Time
	out          []byte // buffer for the output
	idBuffer     []byte // buffer for id and subject
	parent       *vars  // of the message that was split; nil: not split
	eventMemory         // where outgoing events live

	ctx     context.Context // the caller's
	timeout time.Duration
	limited context.Context // ctx with the deadline, once that was needed
	cancel  context.CancelFunc
}

// release clears the event, and keeps memory for the next one.
func (v *vars) release() {
	if v.cancel != nil {
		v.cancel()
	}
	v.event = cloudevent.Event{}
	if v.outgoing.used {
		v.outgoing = outgoing{}
	}
	v.message, v.plain, v.idPending, v.headers = nil, false, false, nil
	v.payload, v.decoded, v.undecodable, v.parent = nil, false, nil, nil
	v.dataValue, v.headersValue, v.time = nil, nil, time.Time{}
	v.ctx, v.limited, v.cancel = nil, nil, nil
	v.doc.Release(keepNodes)
	if cap(v.out) > 1<<16 {
		v.out = nil
	}
	if cap(v.idBuffer) > 1<<16 {
		v.idBuffer = nil
	}
}

// context returns the caller's context with the timeout of the event, which
// starts with the first expression that needs it.
func (v *vars) context() context.Context {
	if v.limited == nil {
		v.limited, v.cancel = context.WithTimeout(v.ctx, v.timeout)
	}
	return v.limited
}

// root returns data. The payload is decoded on the first call, so that
// expressions that do not use data accept any payload. The result is absent if
// undecodable is set.
func (v *vars) root() lazyjson.Value {
	if !v.decoded {
		v.decode()
	}
	return v.doc.Root()
}

var (
	null     = []byte("null")
	errEmpty = errors.New("the value is empty, and an expression needs data; a record without a value has null")
)

func (v *vars) decode() {
	v.decoded = true
	switch payload := v.payload; {
	case payload == nil:
		v.undecodable = v.doc.Parse(null)
	case len(payload) == 0:
		v.undecodable = errEmpty
	default:
		v.undecodable = v.doc.Parse(payload)
	}
}

// ResolveName implements interpreter.Activation.
func (v *vars) ResolveName(name string) (any, bool) {
	switch name {
	case varData:
		if v.dataValue == nil {
			root := v.root()
			if v.undecodable != nil {
				return types.WrapErr(v.undecodable), true // && and || may ignore it
			}
			v.dataValue = celjson.Of(root)
		}
		return v.dataValue, true
	case varTime:
		if v.time.IsZero() {
			return types.NullValue, true // Kafka has records without a time
		}
		return types.Timestamp{Time: v.time.UTC()}, true
	case varParent:
		if v.parent == nil {
			return types.NullValue, true
		}
		return v.parent.ResolveName(varData)
	case varHeaders:
		if v.headersValue == nil {
			v.headersValue = headerMap(v.headers)
		}
		return v.headersValue, true
	}
	if text, ok := v.text(name); ok {
		return types.String(text), true
	}
	return nil, false
}

// text returns the value of a variable that is a string.
func (v *vars) text(name string) (string, bool) {
	switch name {
	case varID:
		v.makeIDAndSubject()
		return v.event.ID, true
	case varSource:
		return v.event.Source, true
	case varType:
		return v.event.Type, true
	case varSubject:
		v.makeIDAndSubject()
		return v.event.Subject, true
	}
	return "", false
}

// Parent implements interpreter.Activation.
func (v *vars) Parent() interpreter.Activation { return nil }

// headerMap returns the headers by name. Of several with one name the last
// counts, as in Kafka's lastHeader. Invalid UTF-8 becomes U+FFFD.
func headerMap(headers []connector.Header) ref.Val {
	m := make(map[string]string, len(headers))
	for _, h := range headers {
		m[h.Key] = strings.ToValidUTF8(string(h.Value), "\ufffd")
	}
	return types.NewStringStringMap(types.DefaultTypeAdapter, m)
}
