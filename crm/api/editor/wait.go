package editor

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/store/command"
)

// pollTime is how often WaitIdle looks.
const pollTime = 200 * time.Millisecond

// BusyError says that the cluster was still busy when the time was over.
type BusyError struct {
	Limit time.Duration
	Why   string
}

// Error implements error.
func (e *BusyError) Error() string { return fmt.Sprintf("waited %v: %s", e.Limit, e.Why) }

// WaitIdle waits until nothing is under way and the policy wants nothing more. The leader knows it; on another node
// the same decision is made from the same state. A *BusyError says that limit was not enough.
func (b *Live) WaitIdle(ctx context.Context, limit time.Duration) error {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w := waiter{b: b}
	over := func() error {
		if caller.Err() != nil {
			return fmt.Errorf("interrupted: %s", w.reason())
		}
		return &BusyError{limit, w.reason()}
	}
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		idle, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return over()
		case idle || err != nil:
			return err
		}
		select {
		case <-ctx.Done():
			return over()
		case <-tick.C:
		}
	}
}

type waiter struct {
	b       *Live
	why     string // it goes on waiting
	decided uint64 // index of the state that was decided on
	idle    bool   // what that came to
	heard   bool   // the daemon has answered
	gone    int    // how often it did not, since
}

// mostGone is how often in a row WaitIdle finds no daemon before it gives up: it takes 15 s. One that crashed is started again.
const mostGone = int(15 * time.Second / pollTime)

func (w *waiter) look(ctx context.Context) (idle bool, err error) {
	l, err := w.b.Client.Local(ctx)
	if w.heard && w.gone < mostGone && (errors.Is(err, client.ErrNotRunning) || errors.Is(err, client.ErrEnded)) {
		w.gone++
		w.why = "the daemon of this node does not run"
		return false, nil
	}
	if err == nil {
		w.heard, w.gone = true, 0
	}
	switch {
	case err != nil:
		return false, err
	case l.Leader == "":
		w.why = "there is no leader"
		return false, nil
	case l.Leader == l.Node:
		w.why = ""
		return l.Idle, nil
	}
	st, err := w.b.Client.State(ctx, false)
	switch {
	case err != nil || st.Document == nil:
		w.why = "the state cannot be read"
		return false, nil
	case len(st.Pending) > 0:
		w.why = ""
		return false, nil
	}
	if st.Index != w.decided {
		d, err := policy.Decide(policy.Input{Document: command.PolicyDocument(st, l.Leader), Now: time.Now().UTC(), Quorate: true})
		if err != nil {
			return false, err
		}
		w.decided, w.idle = st.Index, len(d.Graph.Synapses) == 0
	}
	w.why = ""
	return w.idle, nil
}

// reasonTime bounds the last question of one who has waited in vain.
const reasonTime = 2 * time.Second

// reason says what keeps the cluster busy.
func (w *waiter) reason() string {
	if w.why != "" {
		return w.why
	}
	ctx, cancel := context.WithTimeout(context.Background(), reasonTime)
	defer cancel()
	st, err := w.b.Client.State(ctx, true)
	if ctx.Err() != nil {
		return client.ErrSilent.Error()
	}
	if err != nil || st.Document == nil {
		return "the cluster is still busy"
	}
	return describeBusy(st)
}

// describeBusy says what is under way, or which fencing is about to be tried again.
func describeBusy(st *command.State) string {
	var list []string
	for i := range st.Members {
		m := &st.Members[i]
		if failed := st.FencingFailures(m.Name); len(failed) > 0 && !m.Online && !m.Removed {
			list = append(list, fmt.Sprintf("fencing of %s has failed and is tried again (%s)", m.Name, failed[0].Detail))
		}
	}
	if len(list) == 0 && len(st.Pending) == 0 {
		return "the leader has more to do"
	}
	for _, p := range st.Pending {
		what := p.Resource
		if what == "" {
			what = p.Target
		}
		list = append(list, strings.TrimSpace(p.Task+" "+what)+" on "+p.Node)
	}
	sort.Strings(list)
	const most = 5
	if len(list) > most {
		list = append(list[:most], fmt.Sprintf("and %d more", len(list)-most))
	}
	return "still under way: " + strings.Join(list, ", ")
}
