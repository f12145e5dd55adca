package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/acl"
	"github.com/quorate/quorate/crm/api"
)

// Bounds of event streams.
const (
	maxStreams = 64               // of the connections, so that requests find one too
	keepAlive  = 15 * time.Second // between two comments on a stream on which nothing happens
	sendTime   = 10 * time.Second // for a client to take what is sent
)

// events answers with server-sent events until the client goes. The id of an event stands only with the last one of its
// state, so that a client that comes back misses none; it may see some twice.
func (s *Server) events(w http.ResponseWriter, r *http.Request, _ acl.Identity) error {
	q := r.URL.Query()
	text := q.Get("after")
	if text == "" {
		text = r.Header.Get("Last-Event-ID")
	}
	after := uint64(0)
	if text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return &badRequest{fmt.Errorf("after=%q is not an index", text)}
		}
	}
	var kinds []string
	if q.Get("kind") != "" {
		kinds = strings.Split(q.Get("kind"), ",")
	}
	for _, k := range kinds {
		if !slices.Contains(api.EventKinds, k) {
			return &badRequest{fmt.Errorf("kind=%q is none of %s", k, strings.Join(api.EventKinds, ", "))}
		}
	}
	if s.streams.Add(1) > maxStreams {
		s.streams.Add(-1)
		return &StateError{Message: fmt.Sprintf("%d event streams are open already", maxStreams), Hint: "close one"}
	}
	defer s.streams.Add(-1)
	wanted := func(e *api.Event) bool {
		return e.Kind == api.EventReset || (len(kinds) == 0 || slices.Contains(kinds, e.Kind)) &&
			(q.Get("node") == "" || e.Node == q.Get("node")) && (q.Get("resource") == "" || e.Resource == q.Get("resource"))
	}
	w.Header().Set("Content-Type", api.EventStream)
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	// The stream outlives the time that a request may take to come in.
	out.SetReadDeadline(time.Time{})
	send := func(text string) error {
		if err := out.SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
			return err
		}
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return out.Flush()
	}
	if send(": events\n\n") != nil {
		return nil // the client has gone
	}
	for {
		ctx, cancel := context.WithTimeout(r.Context(), keepAlive)
		list, next, err := s.cfg.Backend.Events(ctx, after)
		cancel()
		text := ""
		switch {
		case r.Context().Err() != nil:
			return nil
		case errors.Is(err, context.DeadlineExceeded):
			text = ": nothing happened\n\n"
		case err != nil:
			return nil // the stream has begun, so there is no other way to say it than to end it
		}
		for i := range list {
			e := &list[i]
			if wanted(e) {
				data, err := json.Marshal(e)
				if err != nil {
					return nil
				}
				text += "event: " + e.Kind + "\ndata: " + string(data) + "\n"
				if i+1 == len(list) || list[i+1].Index != e.Index {
					text += "id: " + strconv.FormatUint(e.Index, 10) + "\n"
				}
				text += "\n"
			}
		}
		after = next
		if text != "" && send(text) != nil {
			return nil
		}
	}
}
