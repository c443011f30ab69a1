package grpc

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// maxProducerName bounds the name of a producer, in bytes.
const maxProducerName = 256

// producers are the producers of a flow that have named themselves by Open and have a
// stream now.
type producers struct {
	mu sync.Mutex
	of map[string]*producer
}

type producer struct {
	epoch   int64 // the highest that is open
	streams map[*intake]int64
}

// open records a stream of a producer, and ends its streams with a lower epoch. It fails
// if the stream's own epoch is over.
func (p *producers) open(k *intake, o *pb.Open) error {
	if o.Producer == "" || len(o.Producer) > maxProducerName {
		return status.Error(codes.InvalidArgument, fmt.Sprintf("open: the name of the producer must have 1 to %d bytes", maxProducerName))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.of[o.Producer]
	if x == nil {
		x = &producer{epoch: o.Epoch, streams: map[*intake]int64{}}
		if p.of == nil {
			p.of = map[string]*producer{}
		}
		p.of[o.Producer] = x
	}
	if o.Epoch < x.epoch {
		return status.FromProto(statusFenced).Err()
	}
	x.epoch = o.Epoch
	x.streams[k] = o.Epoch
	for other, epoch := range x.streams {
		if epoch < o.Epoch {
			other.stop(statusFenced)
		}
	}
	return nil
}

// leave forgets a stream.
func (p *producers) leave(k *intake, name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.of[name]
	if x == nil {
		return
	}
	delete(x.streams, k)
	if len(x.streams) == 0 {
		delete(p.of, name)
		return
	}
	x.epoch = 0
	first := true
	for _, epoch := range x.streams {
		if first || epoch > x.epoch {
			x.epoch, first = epoch, false
		}
	}
}
