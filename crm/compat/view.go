package compat

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/status"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/version"
)

// openView is open for tools that only look: where there is no leader with quorum they show what this node knew last.
func openView() (*cluster, func(), error) {
	c, end, err := open()
	var e *client.Error
	if errors.As(err, &e) && e.Reply.Code == api.CodeNoQuorum {
		return openWith(true)
	}
	return c, end, err
}

// view reads the document the way the policy does.
func (c *cluster) view() (*model.Cluster, error) {
	doc, quorate := c.doc, cib.IsTrue(c.doc.Head.HaveQuorum)
	if c.client != nil {
		l, err := c.client.Local(c.ctx)
		if err != nil {
			return nil, err
		}
		leader := ""
		if l.Quorate {
			leader = l.Leader
		}
		doc, quorate = command.PolicyDocument(c.state, leader), leader != ""
		describe(doc, c.state)
	}
	m, err := policy.Read(policy.Input{Document: doc, Now: time.Now(), Quorate: quorate, Sanitized: true})
	if err != nil {
		return nil, err
	}
	if c.client != nil {
		m.Options.Properties["cluster-infrastructure"] = "quorate"
		m.Options.Properties["dc-version"] = version.Version
	}
	return m, nil
}

// describe fills in who changed the configuration last.
func describe(doc *cib.Document, s *command.State) {
	if len(s.Changes) == 0 {
		return
	}
	last := s.Changes[len(s.Changes)-1]
	doc.Head.LastWritten = time.UnixMilli(last.Time).Format("Mon Jan _2 15:04:05 2006")
	doc.Head.UpdateUser, doc.Head.UpdateClient, doc.Head.UpdateOrigin = last.Actor, last.Message, last.Origin
}

// fencings are the fencings that are under way or over, newest first.
func (c *cluster) fencings() (list []status.FencingEvent) {
	if c.state == nil {
		return nil
	}
	for i := range c.state.Pending {
		if p := &c.state.Pending[i]; p.Task == "stonith" {
			list = append(list, status.FencingEvent{Target: p.Target, Action: p.FenceOp, State: status.FencingPending, By: p.Node,
				Client: "quorated", Origin: p.Node})
		}
	}
	for _, r := range slices.Backward(c.state.Fencing) {
		e := status.FencingEvent{Target: r.Target, Action: r.Op, State: status.FencingFailed, By: r.By, Client: "quorated", Origin: r.By,
			Completed: time.UnixMilli(r.Ended)}
		if r.OK {
			e.State = status.FencingDone
		} else {
			e.Detail = r.Detail
		}
		if r.Actor != "" {
			e.Client = r.Actor
		}
		list = append(list, e)
	}
	return list
}

// mustResource returns the resource of that id, which may be an instance.
func mustResource(m *model.Cluster, id string) (*model.Resource, error) {
	if r := m.Resource(id); r != nil {
		return r, nil
	}
	for _, r := range m.All {
		if r.ConfigID == id {
			return r, nil
		}
	}
	return nil, fmt.Errorf("resource %s: %w", id, errNotSet)
}
