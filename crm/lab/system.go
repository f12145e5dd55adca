package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibtoml"
	"github.com/quorate/quorate/crm/store/command"
)

// quorate is Quorate as a system to measure.
type quorate struct{ *cluster }

func ours(c *cluster) system { return quorate{c} }

func (q quorate) settle(ctx context.Context) error {
	_, err := q.rest(ctx, 30*time.Second)
	return err
}

func (q quorate) prefer(to *machine) error {
	doc, err := cibtoml.Read([]byte(fmt.Sprintf("[cluster]\nname = \"x\"\n[primitives.s0]\nagent = \"ocf:quorate:Stamp\"\n[[locations]]\nid = \"place\"\nresource = \"s0\"\nnode = %q\nscore = 10000\n", to.name)), cibtoml.Options{})
	if err != nil {
		return err
	}
	return q.propose(cib.Change{Kind: cib.KindConstraint, ID: "place", Object: &cib.Object{Constraint: &doc.Config.Constraints[0]}})
}

func (q quorate) forget() error { return q.propose(cib.Change{Kind: cib.KindConstraint, ID: "place"}) }

func (q quorate) propose(changes ...cib.Change) error {
	l, err := q.leader(q.ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(q.ctx, clientTimeout)
	defer cancel()
	_, err = l.client.Propose(ctx, &command.Entry{Kind: command.KindConfig, Config: &command.Config{Force: true, Changes: changes}})
	return err
}

func (q quorate) standby(m *machine, on bool) error {
	action := "online"
	if on {
		action = "standby"
	}
	for _, o := range q.nodes {
		if o != m {
			_, err := q.crm(o, "node", action, m.name)
			return err
		}
	}
	return nil
}
