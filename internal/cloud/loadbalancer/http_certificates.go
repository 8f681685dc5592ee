package loadbalancer

import (
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

func (s *Service) postCertificate(w http.ResponseWriter, r *http.Request) error {
	var body certificateBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	c, err := body.certificate()
	if err != nil {
		return err
	}
	if err := s.edit(r, func(doc *Document) error { return doc.addCertificate(c) }); err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, certificateView(c))
	return nil
}

func (s *Service) listCertificates(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.parts(r)
	if err != nil {
		return err
	}
	return answerParts(w, r, doc.Certificates, certificateView)
}

func (s *Service) getCertificate(w http.ResponseWriter, r *http.Request) error {
	doc, err := s.parts(r)
	if err != nil {
		return err
	}
	c, err := doc.certificate(param(r, "certificate"))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, certificateView(*c))
	return nil
}

// putCertificate replaces the content; listeners go on with the new one.
func (s *Service) putCertificate(w http.ResponseWriter, r *http.Request) error {
	var body certificateBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	return done(w, s.edit(r, func(doc *Document) error {
		c, err := doc.certificate(param(r, "certificate"))
		if err != nil {
			return err
		}
		c.UpdatedAt = store.Now()
		return c.setContent(body)
	}))
}

func (s *Service) deleteCertificate(w http.ResponseWriter, r *http.Request) error {
	return done(w, s.edit(r, func(doc *Document) error { return doc.removeCertificate(param(r, "certificate")) }))
}
