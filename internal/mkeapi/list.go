package mkeapi

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mkeapi/record"
)

// maxItems bounds the memory of an itemCache, to about 20 MB.
const maxItems = 20_000

// itemCache keeps list items in their encoded form. Which clusters a list has, and at which version, is asked of the database every
// time; only what has changed since is read and encoded again. A list of 1,000 clusters would otherwise cost 20 times as much.
type itemCache struct {
	mu    sync.Mutex
	items map[uuid.UUID]item
}

type item struct {
	changes int64
	json    []byte
}

// get fills in the items that are known, in the order of versions, and returns the ids of the others.
func (c *itemCache) get(versions []record.ClusterVersion) (items [][]byte, missing []uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	items = make([][]byte, len(versions))
	for i, v := range versions {
		if known, ok := c.items[v.ID]; ok && known.changes == v.Changes {
			items[i] = known.json
		} else {
			missing = append(missing, v.ID)
		}
	}
	return items, missing
}

func (c *itemCache) put(id uuid.UUID, i item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items == nil || len(c.items) >= maxItems {
		c.items = map[uuid.UUID]item{}
	}
	c.items[id] = i
}

// rawOutput is JSON that is encoded already.
type rawOutput struct {
	ContentType   string `header:"Content-Type"`
	ContentLength int    `header:"Content-Length"`
	Body          []byte
}

func (s *Server) listClusters(ctx context.Context, in *Page) (*rawOutput, error) {
	limit, offset, err := in.parse()
	if err != nil {
		return nil, err
	}
	versions, err := s.store.ListClusterVersions(ctx, tenantOf(ctx), limit, offset)
	if err != nil {
		return nil, err
	}
	items, missing := s.items.get(versions)
	if len(missing) > 0 {
		fresh, err := s.encodeClusters(ctx, missing)
		if err != nil {
			return nil, err
		}
		for i, v := range versions {
			if items[i] == nil {
				items[i] = fresh[v.ID] // still nil if it was deleted meanwhile
			}
		}
	}
	body := joinItems(items)
	return &rawOutput{ContentType: "application/json", ContentLength: len(body), Body: body}, nil
}

func (s *Server) encodeClusters(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID][]byte, error) {
	rows, err := s.store.ListClustersByID(ctx, ids)
	if err != nil {
		return nil, err
	}
	fresh := make(map[uuid.UUID][]byte, len(rows))
	for i := range rows {
		encoded, err := json.Marshal(toClusterResponse(&rows[i]))
		if err != nil {
			return nil, err
		}
		fresh[rows[i].ID] = encoded
		s.items.put(rows[i].ID, item{rows[i].Changes, encoded})
	}
	return fresh, nil
}

// joinItems makes the published envelope of lists.
func joinItems(items [][]byte) []byte {
	size := len(`{"results":[]}`)
	present := items[:0]
	for _, i := range items {
		if i != nil {
			present = append(present, i)
			size += len(i) + 1
		}
	}
	body := bytes.NewBuffer(make([]byte, 0, size))
	body.WriteString(`{"results":[`)
	for n, i := range present {
		if n > 0 {
			body.WriteByte(',')
		}
		body.Write(i)
	}
	body.WriteString("]}\n")
	return body.Bytes()
}
