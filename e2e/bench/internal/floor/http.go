package floor

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/url"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/valyala/fasthttp"
)

// maxBatch limits the events of one POST in batch mode.
const maxBatch = 100

// poster distributes records to workers by key, so that each key stays in order, and posts them.
type poster struct {
	cfg     Config
	client  *fasthttp.HostClient
	workers []chan queued
	shared  chan queued // one queue for all workers, if order does not matter
	running sync.WaitGroup
	fail    func(error)
}

type queued struct {
	r *kgo.Record
	b *batch
}

func newPoster(cfg Config, fail func(error)) *poster {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		panic(err) // the benchmark built the URL itself
	}
	p := &poster{cfg: cfg, fail: fail, client: &fasthttp.HostClient{Addr: u.Host, MaxConns: cfg.Workers, MaxIdemponentCallAttempts: 1}}
	p.shared = make(chan queued, 4*maxBatch)
	for range cfg.Workers {
		c := p.shared
		if !cfg.Unordered {
			c = make(chan queued, 4*maxBatch)
		}
		p.workers = append(p.workers, c)
		p.running.Go(func() { p.work(c) })
	}
	return p
}

var seed = maphash.MakeSeed()

func (p *poster) deliver(ctx context.Context, b *batch, records []*kgo.Record) error {
	for _, r := range records {
		select {
		case p.workers[maphash.Bytes(seed, r.Key)%uint64(len(p.workers))] <- queued{r, b}:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

func (p *poster) Close() error {
	close(p.shared)
	for _, c := range p.workers {
		if c != p.shared {
			close(c)
		}
	}
	p.running.Wait()
	p.client.CloseIdleConnections()
	return nil
}

func (p *poster) work(c <-chan queued) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(p.cfg.URL)
	req.Header.SetMethod("POST")
	w := worker{poster: p, req: req, resp: resp}
	step := w.one
	switch p.cfg.Mode {
	case Batch:
		req.Header.SetContentType("application/cloudevents-batch+json; charset=utf-8")
		step = func(t queued) error { return w.many(t, c) }
	case Binary:
		req.Header.SetContentType("application/json")
	default:
		req.Header.SetContentType("application/cloudevents+json; charset=utf-8")
	}
	for t := range c {
		if err := step(t); err != nil {
			p.fail(err)
			return
		}
	}
}

// worker posts records. It reuses its buffers.
type worker struct {
	*poster
	req       *fasthttp.Request
	resp      *fasthttp.Response
	transform transformer
	buf       []byte
	group     []queued
}

// one posts one event.
func (w *worker) one(t queued) error {
	keep, err := w.transform.read(t.r, w.cfg.Filter)
	if err != nil {
		return err
	}
	if keep {
		if w.cfg.Mode == Binary {
			w.buf = w.transform.appendData(w.buf[:0])
			w.transform.headers(t.r, "ce-", w.req.Header.SetBytesV)
		} else {
			w.buf = w.transform.appendEvent(w.buf[:0], t.r)
		}
		w.req.Header.SetBytesV("Idempotency-Key", w.transform.id)
		if err := w.post(); err != nil {
			return err
		}
	}
	t.b.done(1)
	return nil
}

// many posts the waiting events, up to mostInBatch, in one request.
func (w *worker) many(t queued, c <-chan queued) error {
	w.buf, w.group = append(w.buf[:0], '['), w.group[:0]
	for more := true; more; {
		keep, err := w.transform.read(t.r, w.cfg.Filter)
		if err != nil {
			return err
		}
		if keep {
			if len(w.group) > 0 {
				w.buf = append(w.buf, ',')
			}
			w.buf = w.transform.appendEvent(w.buf, t.r)
		}
		w.group = append(w.group, t)
		if len(w.group) == maxBatch {
			break
		}
		select {
		case t, more = <-c:
		default:
			more = false
		}
	}
	w.buf = append(w.buf, ']')
	if err := w.post(); err != nil {
		return err
	}
	for _, t := range w.group {
		t.b.done(1)
	}
	return nil
}

func (w *worker) post() error {
	w.req.SetBodyRaw(w.buf)
	if err := w.client.Do(w.req, w.resp); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	if code := w.resp.StatusCode(); code/100 != 2 {
		return fmt.Errorf("floor: the sink answered %d", code)
	}
	return nil
}
