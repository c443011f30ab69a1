package grpc

import (
	"bytes"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/lsm/fiso/common/cloudevent"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

func TestFrame_isAPublishStreamRequest(t *testing.T) {
	for _, key := range [][]byte{nil, {}, []byte("k"), bytes.Repeat([]byte("k"), 300)} {
		for _, seq := range []int64{1, 127, 128, math.MaxInt64} {
			for _, n := range []int{0, 100, 200, 1 << 20} {
				e := order("1")
				e.Data = cloudevent.Bytes(make([]byte, n))
				f, err := newFrame(e, key)
				if err != nil {
					t.Fatal(err)
				}
				m := new(pb.PublishStreamRequest)
				out := f.number(seq)
				wire, err := frameCodec{}.Marshal(&out)
				if err != nil {
					t.Fatal(err)
				}
				if err := proto.Unmarshal(wire.Materialize(), m); err != nil {
					t.Fatalf("key %d, seq %d, data %d: %v", len(key), seq, n, err)
				}
				wire.Free()
				got := m.GetEvent()
				back, err := eventOf(got.GetEvent())
				if err != nil || back.Data.Len() != n || back.ID != "1" {
					t.Fatalf("got %+v, %v", back, err)
				}
				if got.GetSeq() != seq || !bytes.Equal(got.Key, key) || (got.Key == nil) != (key == nil) {
					t.Errorf("seq %d and key %q; want %d and %q", got.GetSeq(), got.Key, seq, key)
				}
				if want := proto.Size(got); f.size(seq) != want {
					t.Errorf("size is %d; the StreamEvent has %d", f.size(seq), want)
				}
			}
		}
	}
}
