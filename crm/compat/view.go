package compat

import (
	"errors"
	"fmt"
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
		status.Describe(doc, c.state)
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

// fencings are the fencings that are under way or over, newest first.
func (c *cluster) fencings() []status.FencingEvent {
	if c.state == nil {
		return nil
	}
	return status.FencingEvents(c.state)
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
