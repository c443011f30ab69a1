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

// vars is what the expressions see of one event, and the memory they share.
// Each event has one to itself; it is reused.
type vars struct {
	event       cloudevent.Event   // expressions see its data as doc
	plain       bool               // the message was no CloudEvent
	outgoing    outgoing           // what is made of it
	message     *connector.Message // where it comes from; nil for a sink's expressions
	unnamed     bool               // id and subject of the event are not made yet: see name
	headers     []connector.Header
	payload     []byte // what data is read from; nil: there is none, and data is null
	decoded     bool   // data was asked for: doc holds the payload, or undecodable says why not
	undecodable error
	doc         lazyjson.Doc
	data        ref.Val // data as a CEL value, once it was asked for
	named       ref.Val // headers as a CEL value, likewise
	time        time.Time
	out         []byte // what is written, before it is copied to its size
	names       []byte // likewise, of id and subject
	parent      *vars  // of the message that this is a part of; nil: it is no part
	eventMemory        // where outgoing events live

	ctx     context.Context // the caller's
	timeout time.Duration
	limited context.Context // ctx with the deadline, once that was needed
	cancel  context.CancelFunc
}

// release forgets the event, and keeps the memory for the next one.
func (v *vars) release() {
	if v.cancel != nil {
		v.cancel()
	}
	v.event = cloudevent.Event{}
	if v.outgoing.used {
		v.outgoing = outgoing{}
	}
	v.message, v.plain, v.unnamed, v.headers = nil, false, false, nil
	v.payload, v.decoded, v.undecodable, v.parent = nil, false, nil, nil
	v.data, v.named, v.time = nil, nil, time.Time{}
	v.ctx, v.limited, v.cancel = nil, nil, nil
	v.doc.Release(keepNodes)
	if cap(v.out) > 1<<16 {
		v.out = nil
	}
	if cap(v.names) > 1<<16 {
		v.names = nil
	}
}

// context is the caller's, ended when the event has taken its time. The clock
// starts with the first expression that needs it.
func (v *vars) context() context.Context {
	if v.limited == nil {
		v.limited, v.cancel = context.WithTimeout(v.ctx, v.timeout)
	}
	return v.limited
}

// root is data. The payload is decoded when it is first asked for, so that an
// expression that asks for something else works on any payload. It is absent
// when undecodable says why.
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
		if v.data == nil {
			root := v.root()
			if v.undecodable != nil {
				return types.WrapErr(v.undecodable), true // CEL's && and || may yet do without
			}
			v.data = celjson.Of(root)
		}
		return v.data, true
	case varTime:
		if v.time.IsZero() {
			return types.NullValue, true // Kafka has records without one
		}
		return types.Timestamp{Time: v.time.UTC()}, true
	case varParent:
		if v.parent == nil {
			return types.NullValue, true
		}
		return v.parent.ResolveName(varData)
	case varHeaders:
		if v.named == nil {
			v.named = headerMap(v.headers)
		}
		return v.named, true
	}
	if text, ok := v.text(name); ok {
		return types.String(text), true
	}
	return nil, false
}

// text is the value of a variable that is a string.
func (v *vars) text(name string) (string, bool) {
	switch name {
	case varID:
		v.name()
		return v.event.ID, true
	case varSource:
		return v.event.Source, true
	case varType:
		return v.event.Type, true
	case varSubject:
		v.name()
		return v.event.Subject, true
	}
	return "", false
}

// Parent implements interpreter.Activation.
func (v *vars) Parent() interpreter.Activation { return nil }

// headerMap is the headers by name. Of several with one name the last counts,
// as in Kafka's own lastHeader; what is not UTF-8 becomes U+FFFD.
func headerMap(headers []connector.Header) ref.Val {
	m := make(map[string]string, len(headers))
	for _, h := range headers {
		m[h.Key] = strings.ToValidUTF8(string(h.Value), "\ufffd")
	}
	return types.NewStringStringMap(types.DefaultTypeAdapter, m)
}
