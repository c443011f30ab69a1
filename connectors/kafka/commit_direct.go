package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitDirect sends a commit without franz-go's group management. franz-go commits
// nothing during a join, and a join lasts until the slowest member of the group has
// drained: a member that stops meanwhile would leave without its last commit. The
// coordinator accepts the commit under the previous generation until the next one has
// begun.
func (r *session) commitDirect(
	ctx context.Context, offsets map[string]map[int32]kgo.EpochOffset, pre func(*kmsg.OffsetCommitRequest) error,
) (*kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error) {
	names := make([]string, 0, len(offsets))
	for name := range offsets {
		names = append(names, name)
	}
	topics, err := r.adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, nil, fmt.Errorf("look for the topics: %w", err)
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = r.src.cfg.ConsumerGroup
	req.MemberID, req.Generation = r.cl.GroupMetadata()
	if id := r.src.cfg.InstanceID; id != "" {
		req.InstanceID = &id
	}
	for name, numbers := range offsets {
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = name, topics[name].ID
		for n, at := range numbers {
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch = n, at.Offset, at.Epoch
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	if err := pre(req); err != nil {
		return nil, nil, err
	}
	resp, err := req.RequestWith(ctx, r.cl)
	if err != nil {
		return nil, nil, fmt.Errorf("commit: %w", err)
	}
	return req, resp, nil
}

// leaveDirect leaves the group without franz-go's group management, which waits for a
// running join to end. A member that does not leave keeps the group waiting until its
// session times out. A static member stays on purpose.
func (r *session) leaveDirect() error {
	if r.src.cfg.InstanceID != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.base, leaveTimeout/2)
	defer cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = r.src.cfg.ConsumerGroup
	req.MemberID, _ = r.cl.GroupMetadata()
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = req.MemberID
	req.Members = append(req.Members, m)
	resp, err := req.RequestWith(ctx, r.cl)
	if err != nil {
		return fmt.Errorf("leave the group: %w", err)
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// answers returns the error of each partition in a commit's response.
func answers(req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) map[tp]error {
	names := map[[16]byte]string{}
	for _, t := range req.Topics {
		names[t.TopicID] = t.Topic
	}
	failures := map[tp]error{}
	for _, t := range resp.Topics {
		name := t.Topic
		if name == "" {
			name = names[t.TopicID]
		}
		for _, p := range t.Partitions {
			failures[tp{name, p.Partition}] = kerr.ErrorForCode(p.ErrorCode)
		}
	}
	return failures
}
