package calls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// method is the gRPC method that the benchmark calls.
const method = "/bench.Echo/Call"

// raw is a codec that passes messages as bytes.
type raw struct{}

var _ encoding.CodecV2 = raw{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, errors.New("only bytes are sent")
	}
	return mem.BufferSlice{mem.SliceBuffer(*b)}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return errors.New("only bytes are received")
	}
	*b = data.Materialize()
	return nil
}

// serveRPC is a gRPC echo server. It runs until ctx ends.
func serveRPC(ctx context.Context) (addr string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("start the upstream of gRPC: %w", err)
	}
	srv := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(echo), grpc.MaxConcurrentStreams(1024))
	context.AfterFunc(ctx, srv.Stop)
	go srv.Serve(l) //nolint:errcheck // until it is stopped
	return l.Addr().String(), nil
}

func echo(_ any, s grpc.ServerStream) error {
	called, _ := grpc.MethodFromServerStream(s)
	md, _ := metadata.FromIncomingContext(s.Context())
	if got := md.Get("authorization"); len(got) != 1 || got[0] != authorization || called != method {
		return status.Error(codes.Unauthenticated, "missing credential or wrong method")
	}
	for {
		var b []byte
		switch err := s.RecvMsg(&b); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := s.SendMsg(&b); err != nil {
			return err
		}
	}
}

// connections is the number of connections that the gRPC calls share.
const connections = 4

// rpcs makes gRPC calls, as many at a time as the load has connections.
func (l load) rpcs(ctx context.Context, warm, measure time.Duration, sample func() error) (n int64, took []time.Duration, elapsed time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	name, md := prefix+method, metadata.MD{}
	if l.authorize {
		name, md = method, metadata.Pairs("authorization", authorization)
	}
	var measured atomic.Bool
	var calls atomic.Int64
	var mu sync.Mutex
	var failure error
	var calling sync.WaitGroup
	var conns []*grpc.ClientConn
	for range min(connections, l.conns) {
		c, err := grpc.NewClient("passthrough:///"+l.addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
		if err != nil {
			return 0, nil, 0, fmt.Errorf("connect: %w", err)
		}
		defer c.Close() //nolint:errcheck // the run is over
		conns = append(conns, c)
	}
	for i := range l.conns {
		calling.Go(func() {
			mine, err := repeat(metadata.NewOutgoingContext(ctx, md), conns[i%len(conns)], name, l.size, &measured, &calls)
			mu.Lock()
			defer mu.Unlock()
			if took = append(took, mine...); err != nil {
				failure = err
				cancel()
			}
		})
	}
	n, elapsed, err = window(ctx, warm, measure, sample, &measured, &calls)
	cancel()
	calling.Wait()
	if failure != nil {
		err = failure
	}
	return n, took, elapsed, err
}

// repeat makes sequential calls.
func repeat(ctx context.Context, c *grpc.ClientConn, name string, size int, measured *atomic.Bool, calls *atomic.Int64) (took []time.Duration, err error) {
	in := body(size)
	for {
		var out []byte
		keep, began := measured.Load(), time.Now()
		err := c.Invoke(ctx, name, &in, &out)
		switch {
		case ctx.Err() != nil:
			return took, nil
		case err != nil:
			return nil, fmt.Errorf("call: %w", err)
		case len(out) != size:
			return nil, errors.New("the response body differs")
		case keep:
			took = append(took, time.Since(began))
			calls.Add(1)
		}
	}
}
