package loadbalancer

import (
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

func (s *Service) postCertificate(r *http.Request) (*certificateView, error) {
	var body certificateBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	c, err := body.certificate()
	if err != nil {
		return nil, err
	}
	if err := s.edit(r, func(doc *Document) error { return doc.addCertificate(c) }); err != nil {
		return nil, err
	}
	v := viewCertificate(c)
	return &v, nil
}

func (s *Service) listCertificates(r *http.Request) (*pageView[certificateView], error) {
	return listParts(s, r, func(doc *Document) []Certificate { return doc.Certificates }, viewCertificate)
}

func (s *Service) getCertificate(r *http.Request) (*certificateView, error) {
	doc, err := s.parts(r)
	if err != nil {
		return nil, err
	}
	c, err := doc.certificate(param(r, "certificate"))
	if err != nil {
		return nil, err
	}
	v := viewCertificate(*c)
	return &v, nil
}

// putCertificate replaces the content; listeners go on with the new one.
func (s *Service) putCertificate(r *http.Request) (*struct{}, error) {
	var body certificateBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	return done(s.edit(r, func(doc *Document) error {
		c, err := doc.certificate(param(r, "certificate"))
		if err != nil {
			return err
		}
		c.UpdatedAt = store.Now()
		return c.setContent(body)
	}))
}

func (s *Service) deleteCertificate(r *http.Request) (*struct{}, error) {
	return done(s.edit(r, func(doc *Document) error { return doc.removeCertificate(param(r, "certificate")) }))
}
