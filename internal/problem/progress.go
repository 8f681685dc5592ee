//nolint:misspell // half of it is Portuguese
package problem

import (
	"fmt"
	"regexp"
	"strings"
)

// progress are the sentences with which the servers of the platform say what a change waits for. They are kept in English, as nobody knows
// who will read them, and said in another language when somebody does.
var progress = []Text{
	{"requested", "solicitado"},
	{"done", "concluído"},
	{"ready", "pronto"},
	{"a newer change took over", "uma alteração mais nova assumiu"},
	{"the cluster was deleted", "o cluster foi excluído"},
	{"the platform is working on it", "a plataforma está trabalhando nisso"},
	{"the cluster was removed outside of this API; delete it", "o cluster foi removido por fora desta API; exclua-o"},

	{"waiting to be provisioned", "aguardando o provisionamento"},
	{"waiting for the change to be applied", "aguardando a aplicação da alteração"},
	{"waiting to be removed", "aguardando a remoção"},
	{"waiting for the management cluster", "aguardando o cluster de gerenciamento"},
	{"waiting for the management cluster, which does not accept the change yet", "aguardando o cluster de gerenciamento, que ainda não aceita a alteração"},

	{"preparing the cluster", "preparando o cluster"},
	{"creating the network rules", "criando as regras de rede"},
	{"creating the load balancer of the API server", "criando o balanceador de carga do servidor da API"},
	{"waiting for the control plane machine to be created", "aguardando a criação da máquina do control plane"},
	{"waiting for the control plane machine to boot", "aguardando a inicialização da máquina do control plane"},
	{"waiting for the API server to answer", "aguardando a resposta do servidor da API"},
	{"the API server does not answer", "o servidor da API não responde"},
	{"installing the cluster's network", "instalando a rede do cluster"},
	{"repairing the addon %s", "reparando o addon %s"},
	{"waiting for the control plane node to become ready", "aguardando o nó do control plane ficar pronto"},
	{"waiting for the control plane to become healthy again", "aguardando o control plane voltar a ficar saudável"},
	{"updating the control plane", "atualizando o control plane"},
	{"ready; its nodes wait for your network plugin", "pronto; os nós aguardam o seu plugin de rede"},

	{"waiting for the cluster", "aguardando o cluster"},
	{"waiting for the control plane", "aguardando o control plane"},
	{"adding nodes", "adicionando nós"},
	{"adding nodes: %d of %d are ready", "adicionando nós: %d de %d estão prontos"},
	{"removing nodes", "removendo nós"},
	{"removing nodes: %d left, %d wanted", "removendo nós: restam %d, o desejado é %d"},
	{"replacing nodes: %d to go", "substituindo nós: faltam %d"},
	{"%d of %d nodes are ready", "%d de %d nós estão prontos"},
	{"%d of %d nodes are ready; nodes need your network plugin", "%d de %d nós estão prontos; os nós precisam do seu plugin de rede"},
	{"moving pods off a node", "movendo pods para fora de um nó"},
	{"moving pods off a node: the PodDisruptionBudget %s does not allow it yet; the node goes after 10 minutes at the latest",
		"movendo pods para fora de um nó: o PodDisruptionBudget %s ainda não permite; o nó sai em no máximo 10 minutos"},
	{"waiting for volumes to be detached from a node", "aguardando volumes serem desanexados de um nó"},
	{"it cannot add nodes", "não consegue adicionar nós"},
	{"%d of the cluster's %d nodes are not ready: no node is added or removed meanwhile",
		"%d dos %d nós do cluster não estão prontos: enquanto isso, nenhum nó é adicionado ou removido"},
	{"%d of %d nodes are coming up", "%d de %d nós estão subindo"},
	{"%d nodes are being removed", "%d nós estão sendo removidos"},
	{"Pods wait for nodes, and the pool is at its largest size of %d", "há pods à espera de nós, e o node pool está no tamanho máximo de %d"},

	{"removing the cluster", "removendo o cluster"},
	{"removing the nodes", "removendo os nós"},
	{"removing the control plane", "removendo o control plane"},
	{"removing the load balancer and the network rules", "removendo o balanceador de carga e as regras de rede"},
	{"removing what the platform kept about the cluster", "removendo o que a plataforma guardava sobre o cluster"},

	{"waiting for the cloud: it refuses to make credentials for the cluster", "aguardando a nuvem: ela se recusa a criar credenciais para o cluster"},
	{"the cloud cannot make credentials for the cluster", "a nuvem não consegue criar credenciais para o cluster"},
	{"waiting for the cloud: it asks to slow down", "aguardando a nuvem: ela pede menos requisições"},
	{"waiting for the cloud: it does not answer", "aguardando a nuvem: ela não responde"},
	{"waiting for the cloud: it refuses to remove the cluster's load balancers and volumes",
		"aguardando a nuvem: ela se recusa a remover os balanceadores de carga e volumes do cluster"},
	{"waiting for the cloud, which asks to slow down, to remove load balancers and volumes",
		"aguardando a nuvem, que pede menos requisições, para remover balanceadores de carga e volumes"},
	{"waiting for the cloud, which does not answer, to remove load balancers and volumes",
		"aguardando a nuvem, que não responde, para remover balanceadores de carga e volumes"},
	{"the VM is being made", "a VM está sendo criada"},
	{"the VM cannot be made: %s", "a VM não pode ser criada: %s"},
}

// sentence is one of progress with what finds it.
type sentence struct {
	pattern *regexp.Regexp
	text    string
}

var (
	sentences = patterns(progress)
	// subject is what a sentence may be about: a node pool, or the autoscaler.
	subject = regexp.MustCompile(`^([a-z][a-z0-9-]{0,62}): (.+)$`)
)

func patterns(texts []Text) []sentence {
	verbs := strings.NewReplacer("%s", "(.+)", "%d", `(\d+)`)
	all := make([]sentence, len(texts))
	for i, t := range texts {
		all[i] = sentence{regexp.MustCompile("^" + verbs.Replace(regexp.QuoteMeta(t.EN)) + "$"), strings.ReplaceAll(t.PT, "%d", "%s")}
	}
	return all
}

// Progress says in a language what a change waits for. What is none of the platform's own sentences, such as the words of the cloud, stays.
func Progress(lang Lang, message string) string {
	if lang == English {
		return message
	}
	for _, s := range sentences {
		if found := s.pattern.FindStringSubmatch(message); found != nil {
			args := make([]any, len(found)-1)
			for i, arg := range found[1:] {
				args[i] = arg
			}
			return fmt.Sprintf(s.text, args...)
		}
	}
	if i := strings.LastIndex(message, "; "); i > 0 {
		return Progress(lang, message[:i]) + "; " + Progress(lang, message[i+2:])
	}
	if about := subject.FindStringSubmatch(message); about != nil {
		return about[1] + ": " + Progress(lang, about[2])
	}
	return message
}
