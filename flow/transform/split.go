package transform

import (
	"strconv"

	"github.com/google/cel-go/common/types/traits"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/lazyjson"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
)

// maxSplit is how many events one message may become.
const maxSplit = 10_000

// parts appends the events of a message that is split, and returns their
// number. The data of each is an element of the list, and parent is the data of
// the message; the id is that of the message with #0, #1 and so on appended.
func (p *Transformer) parts(v *vars, replay *deadletter.Replay, into []delivery.Routed) ([]delivery.Routed, int, error) {
	list, err := p.list(v)
	if err != nil {
		return into, 0, err
	}
	id := v.event.ID
	n := 0
	for e := list.First(); e.Kind() != lazyjson.Absent; e = e.Next(list) {
		if replay == nil || replay.Part == 0 || replay.Part == n+1 {
			if into, err = p.part(v, replay, id, n, e.Raw(), into); err != nil {
				return into, n, err
			}
		}
		n++
	}
	return into, n, nil
}

// list evaluates transform.split and returns the list as JSON.
func (p *Transformer) list(v *vars) (lazyjson.Value, error) {
	x := p.split
	var none lazyjson.Value
	result, err := x.value(v)
	if err != nil {
		return none, err
	}
	lister, ok := result.(traits.Lister)
	if !ok {
		return none, x.failed("it returned %s where a list is expected", describe(result))
	}
	if size, ok := lister.Size().Value().(int64); !ok || size > maxSplit {
		return none, x.failed("it returned %v events; a message may become at most %d", lister.Size().Value(), maxSplit)
	}
	raw, err := x.encode(nil, result, p.limit)
	if err != nil {
		return none, err
	}
	doc := new(lazyjson.Doc)
	if err := doc.Parse(raw); err != nil {
		return none, x.failed("%v", err)
	}
	return doc.Root(), nil
}

// part appends one event of a message that is split, for the outputs that take
// it.
func (p *Transformer) part(whole *vars, replay *deadletter.Replay, id string, n int, data []byte, into []delivery.Routed) ([]delivery.Routed, error) {
	v := p.pool.Get().(*vars)
	defer func() {
		v.limited, v.cancel = nil, nil // they belong to whole
		v.release()
		p.pool.Put(v)
	}()
	suffix := "#" + strconv.Itoa(n)
	v.ctx, v.timeout, v.limited = whole.ctx, whole.timeout, whole.context()
	v.parent, v.message, v.headers, v.time = whole, whole.message, whole.headers, whole.time
	v.event = whole.event
	v.event.ID = id + suffix
	v.event.Data, v.event.DataContentType, v.event.DataSchema = cloudevent.Bytes(data), "application/json", ""
	v.payload = data
	e, err := p.write(v)
	if err != nil {
		return into, err
	}
	if p.customID {
		e.ID += suffix
	}
	return p.route(whole.ctx, replay, e, n+1, into)
}
