package editor

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/store/command"
)

// TestWaitIdle_Restart has the daemon crash while somebody waits: who waits goes on. Who is interrupted does not say that the
// time was over.
func TestWaitIdle_Restart(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	const idleAt = 4
	var asked atomic.Int32
	ctx, interrupt := context.WithCancel(t.Context())
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if n == 2 || n == 3 || r.URL.Path != api.PathLocal {
			panic(http.ErrAbortHandler)
		}
		if n > idleAt {
			interrupt()
		}
		data, err := cbor.Marshal(api.Local{Node: "n1", Leader: "n1", Idle: n == idleAt})
		if err != nil {
			panic(err)
		}
		w.Write(data)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	defer func() { srv.Close(); <-done }()
	b := &Live{Client: client.New(socket)}
	if err := b.WaitIdle(t.Context(), time.Minute); err != nil || asked.Load() != idleAt {
		t.Errorf("WaitIdle() = %v after %d questions, want none after %d", err, asked.Load(), idleAt)
	}
	if err := b.WaitIdle(ctx, time.Minute); err == nil || !strings.HasPrefix(err.Error(), "interrupted: ") {
		t.Errorf("WaitIdle() = %v, want that it was interrupted", err)
	}
}

func TestDescribeBusy(t *testing.T) {
	t.Parallel()
	members := []command.Member{{Name: "a", Online: true}, {Name: "b"}, {Name: "c"}}
	failed := []command.FencingRecord{{Target: "b", Detail: "d reboot: no answer", Index: 3}, {Target: "c", OK: true, Index: 3}}
	for _, c := range []struct {
		name  string
		state command.State
		want  string
	}{
		{"nothing", command.State{Members: members}, "the leader has more to do"},
		{"operations", command.State{Members: members, Pending: []command.Pending{{Task: "start", Resource: "web", Node: "a"}, {Task: "stonith", Target: "b", Node: "a"}}},
			"still under way: start web on a, stonith b on a"},
		{"a fencing that fails", command.State{Members: members, Fencing: failed}, "still under way: fencing of b has failed and is tried again (d reboot: no answer)"},
	} {
		if got := describeBusy(&c.state); got != c.want {
			t.Errorf("%s: describeBusy() = %q, want %q", c.name, got, c.want)
		}
	}
}
