package shell

import (
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
)

// cmdFollow prints events until it is interrupted or the stream breaks.
func (s *Shell) cmdFollow(c *call) error {
	var f client.EventFilter
	for _, a := range c.args {
		name, value, ok := strings.Cut(a, "=")
		switch {
		case !ok || value == "":
			return c.usage("%q is none of kind=, node=, resource=, after=", a)
		case name == "kind":
			f.Kinds = strings.Split(value, ",")
		case name == "node":
			f.Node = value
		case name == "resource":
			f.Resource = value
		case name == "after":
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return c.usage("%q is no index of a state", value)
			}
			f.After = n
		default:
			return c.usage("%q is none of kind=, node=, resource=, after=", a)
		}
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	err = cl.Events(c.ctx, f, func(e api.Event) error {
		s.printf("%s %d %s\n", time.Now().Format(time.TimeOnly), e.Index, e.Text)
		return nil
	})
	if c.ctx.Err() != nil {
		return nil
	}
	return explain(err)
}
