package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// Size of the clients' load: enough for requests to overlap, small enough to leave the machines idle, so that
// timings measure the cluster and not the load.
const (
	writers   = 4
	readers   = 4
	registers = 4
	thinkTime = 40 * time.Millisecond
)

// clientTimeout bounds one request; after it the outcome of a write is not known.
const clientTimeout = 5 * time.Second

// clients write and read registers, which are roles of the document: objects that nothing else depends on.
type clients struct {
	c     *cluster
	stop  context.CancelFunc
	group sync.WaitGroup

	mu  sync.Mutex // guards ops
	ops []ClientOp
}

func registerName(i int) string { return fmt.Sprintf("register-%d", i) }

// startClients starts the clients; each keeps to one machine.
func startClients(ctx context.Context, c *cluster) *clients {
	cl := &clients{c: c}
	ctx, cl.stop = context.WithCancel(ctx)
	for i := range writers + readers {
		m := c.nodes[i%len(c.nodes)]
		cl.group.Go(func() {
			tick := time.NewTicker(thinkTime)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				key := registerName((i + n) % registers)
				op := ClientOp{Client: i, Node: m.name, Key: key, Write: i < writers}
				if op.Write {
					op.Value = fmt.Sprintf("w%d-%d", i, n)
				}
				cl.do(ctx, m, &op)
				cl.mu.Lock()
				cl.ops = append(cl.ops, op)
				cl.mu.Unlock()
			}
		})
	}
	return cl
}

// end stops the clients and returns what they did.
func (cl *clients) end() []ClientOp {
	cl.stop()
	cl.group.Wait()
	return cl.ops
}

// do carries out one request. It does not end with ctx, so that outcomes are known when the clients are stopped.
func (cl *clients) do(ctx context.Context, m *machine, op *ClientOp) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clientTimeout)
	defer cancel()
	op.Call = mono()
	var err error
	if op.Write {
		op.Index, err = m.client.Propose(ctx, &command.Entry{Kind: command.KindConfig, Config: &command.Config{Force: true,
			Changes: []cib.Change{{Kind: cib.KindACLRole, ID: op.Key, Object: &cib.Object{Role: &cib.ACLRole{ID: op.Key, Description: op.Value}}}},
		}})
	} else {
		var s *command.State
		if s, err = m.client.State(ctx, false); err == nil {
			op.Index, op.Value = s.Index, register(s, op.Key)
		}
	}
	op.Return = mono()
	op.Outcome = outcomeOf(err)
}

// register is the value of a register in a state; "" = it was never written.
func register(s *command.State, key string) string {
	if s.Document == nil {
		return ""
	}
	for _, r := range s.Document.Config.Roles {
		if r.ID == key {
			return r.Description
		}
	}
	return ""
}

// outcomeOf says what is known of a request that came to err.
func outcomeOf(err error) Outcome {
	var refused *client.Error
	switch {
	case err == nil:
		return OutcomeOK
	case errors.Is(err, client.ErrNotRunning):
		return OutcomeFailed
	case errors.As(err, &refused):
		switch refused.Reply.Code {
		case api.CodeDenied, api.CodeConflict, api.CodeRefused, api.CodeBad, api.CodeNotFound, api.CodeState:
			return OutcomeFailed
		}
	}
	return OutcomeUnknown
}
