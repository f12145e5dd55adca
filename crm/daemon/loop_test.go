package daemon

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/controller"
	"github.com/quorate/quorate/crm/node"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/generate"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/store/raftlog"
	"github.com/quorate/quorate/crm/store/replica"
)

// beats is a sender that counts heartbeats, and runs of agents that never end.
type beats chan node.Heartbeat

func (beats) Raft(*raftpb.Message) error                                    { return nil }
func (beats) Snapshot(context.Context, replica.SnapshotMessage, func(bool)) {}
func (beats) MembersChanged(*command.State)                                 {}
func (beats) Start(agents.Request) error                                    { return nil }
func (beats) Cancel(string) error                                           { return nil }
func (beats) Ack(string) error                                              { return nil }
func (b beats) Heartbeat(h node.Heartbeat)                                  { b <- h }
func (b beats) wait(t *testing.T, ctx context.Context, count int, during string) {
	t.Helper()
	for range count {
		select {
		case <-b:
		case <-ctx.Done():
			t.Fatalf("no heartbeat while %s", during)
		}
	}
}

// TestLoop_HeartbeatsWhileDeciding: a decision on a large document takes as long as it likes; heartbeats go on. Goal: no
// work of the policy in the loop. Method: one voter with a second member that is not there, and a policy that ends only
// after so many heartbeats have been sent.
func TestLoop_HeartbeatsWhileDeciding(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var text bytes.Buffer
	must(t, generate.Load(&text, generate.Size{Nodes: 20, Resources: 400, Mix: "mixed", State: "cold"}))
	doc, _, err := cibxml.Read(text.Bytes())
	must(t, err)
	doc.Config.Nodes, doc.Config.Cluster.Timing = nil, cib.TimingSettings{Profile: "fast"}
	s, index := command.New(), uint64(0)
	member := func(i int) command.MemberAdd {
		return command.MemberAdd{Name: fmt.Sprint("n", i), Key: []byte{byte(i)}, Links: []cib.NodeLink{{Link: "lan", Address: fmt.Sprint("127.0.0.", i)}}, Feature: command.FeatureLevel}
	}
	second := member(2)
	for _, e := range []command.Entry{
		{Kind: command.KindBootstrap, Bootstrap: &command.Bootstrap{ClusterID: "c", CA: []byte{1}, First: member(1), Config: doc}},
		{Kind: command.KindMemberAdd, MemberAdd: &second},
	} {
		data, err := e.Encode()
		must(t, err)
		index++
		var out command.Outcome
		s, out = command.Apply(s, index, 1, data)
		must(t, out.Err)
	}
	data, err := s.Encode()
	must(t, err)
	first := replica.Founding(1, data)
	first.HardState.Commit, first.Snapshot.Metadata.Index = &index, &index
	log, err := raftlog.Create(filepath.Join(t.TempDir(), "log"), raftlog.Identity{ClusterID: "c", NodeID: 1, RaftID: 1}, first, raftlog.Options{})
	must(t, err)
	defer log.Close()
	start := time.Now()
	n, err := node.New(node.Config{Name: "n1", NodeID: 1, RaftID: 1, Incarnation: 1, Boot: "b", Storage: log, State: s}, 0, start)
	must(t, err)
	n.Adopt(0, nil)

	sent := make(beats, 1000)
	l := newLoop(n, log, hclog.NewNullLogger(), start)
	l.net, l.run = sent, sent
	asked, answer, decided := make(chan struct{}, 100), make(chan struct{}), make(chan controller.DecisionRecord, 100)
	l.decide = func(in policy.Input) (*policy.Decision, error) {
		asked <- struct{}{}
		<-answer
		return policy.Decide(in)
	}
	l.onDecision = func(r controller.DecisionRecord) { decided <- r }
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	select {
	case <-asked:
	case <-ctx.Done():
		t.Fatal("no decision was asked for")
	}
	for len(sent) > 0 {
		<-sent
	}
	sent.wait(t, ctx, 20, "a decision is worked out")
	close(answer)
	select {
	case r := <-decided:
		if r.Err != "" || r.Actions == 0 {
			t.Errorf("decision %q with %d actions", r.Err, r.Actions)
		}
	case <-ctx.Done():
		t.Fatal("the answer of the policy did not come")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
