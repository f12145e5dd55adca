package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/store/command"
)

func TestEvents_Resume(t *testing.T) {
	t.Parallel()
	e := newEvents()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := e.next(ended, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("next() before anything = %v", err)
	}
	e.add(nil, 10, true)
	for i := uint64(11); i < 11+maxEvents; i++ {
		e.add([]api.Event{{Index: i, Text: "a"}, {Index: i, Text: "b"}}, i, false)
	}
	last := uint64(10 + maxEvents)
	if len(e.list) > maxEvents || e.list[0].Text != "a" {
		t.Errorf("%d events are kept, of which the first is %+v", len(e.list), e.list[0])
	}
	for _, tt := range []struct {
		after uint64
		want  int
		kind  string
	}{
		{5, 1, api.EventReset}, {11, 1, api.EventReset}, {e.from - 1, 1, api.EventReset},
		{e.from, len(e.list), ""}, {last - 1, 2, ""}, {last - 3, 6, ""},
	} {
		list, next, err := e.next(ended, tt.after)
		if err != nil || len(list) != tt.want || list[0].Kind != tt.kind || next != last {
			t.Errorf("next(%d) = %d events, %d, %v; want %d of kind %q", tt.after, len(list), next, err, tt.want, tt.kind)
		}
	}
	for _, after := range []uint64{0, last, last + 100} {
		if list, next, err := e.next(ended, after); err == nil || len(list) != 0 || next != last {
			t.Errorf("next(%d) = %v, %d, %v", after, list, next, err)
		}
	}
}

// TestEvents_Run follows states as they come; what was there at first is no event.
func TestEvents_Run(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEvents()
		states := make(chan *command.State)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go e.Run(ctx, func(ctx context.Context, _ uint64) (*command.State, error) {
			select {
			case s := <-states:
				return s, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		states <- &command.State{Index: 3, Members: []command.Member{{Name: "alpha"}}}
		got := make(chan []api.Event)
		go func() {
			list, _, _ := e.next(ctx, 0)
			got <- list
		}()
		synctest.Wait()
		states <- &command.State{Index: 4, Members: []command.Member{{Name: "alpha"}}} // nothing happened
		states <- &command.State{Index: 5, Members: []command.Member{{Name: "alpha", Online: true}}}
		if list := <-got; len(list) != 1 || list[0].Index != 5 || list[0].Text != "node alpha online" {
			t.Errorf("events %+v", list)
		}
		cancel()
		synctest.Wait()
	})
}
