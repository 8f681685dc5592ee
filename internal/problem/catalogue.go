//nolint:misspell // half of it is Portuguese
package problem

import "net/http"

// catalogue holds every kind in the order of definition.
var catalogue []*Kind

// All returns the whole catalogue.
func All() []*Kind { return catalogue }

func define(slug string, status int, message, hint Text) *Kind {
	k := &Kind{Slug: slug, Status: status, Message: message, Hint: hint}
	catalogue = append(catalogue, k)
	return k
}

var none = Text{}

// Who asks, and how often.
var (
	Unauthorized = define("unauthorized", http.StatusUnauthorized,
		Text{"no valid API key or access token was given", "nenhuma chave de API ou token de acesso válido foi informado"},
		Text{"send X-Api-Key: <key>, or Authorization: Bearer <token>", "envie X-Api-Key: <chave> ou Authorization: Bearer <token>"})
	Forbidden = define("forbidden", http.StatusForbidden,
		Text{"the credential lacks the scope %s", "a credencial não tem o escopo %s"},
		Text{"create an API key that has the scope", "crie uma chave de API que tenha o escopo"})
	PermissionMissing = define("permission_missing", http.StatusForbidden,
		Text{"you lack the permission %s", "falta a você a permissão %s"},
		Text{"ask an administrator of your organization for it", "peça-a a um administrador da sua organização"})
	TooManyRequests = define("too_many_requests", http.StatusTooManyRequests,
		Text{"too many requests", "requisições demais"},
		Text{"try again after the seconds in Retry-After", "tente de novo depois dos segundos em Retry-After"})
)

// The request as such.
var (
	InvalidRequest = define("invalid_request", http.StatusBadRequest,
		Text{"%d problems: %s", "%d problemas: %s"}, none)
	NotFound = define("not_found", http.StatusNotFound,
		Text{"there is nothing at this address", "não há nada neste endereço"}, none)
	MethodNotAllowed = define("method_not_allowed", http.StatusMethodNotAllowed,
		Text{"this address does not know the method", "este endereço não conhece o método"}, none)
	BodyTooLarge = define("body_too_large", http.StatusRequestEntityTooLarge,
		Text{"the body is larger than 1 MiB", "o corpo é maior que 1 MiB"}, none)
	BodyMissing = define("body_missing", http.StatusBadRequest,
		Text{"a JSON object is expected as body", "espera-se um objeto JSON como corpo"}, none)
	MalformedJSON = define("malformed_json", http.StatusBadRequest,
		Text{"the body is not JSON: %s", "o corpo não é JSON: %s"}, none)
	UnknownField = define("unknown_field", http.StatusBadRequest,
		Text{"there is no such field", "esse campo não existe"}, none)
	RequiredField = define("required_field", http.StatusBadRequest,
		Text{"is required", "é obrigatório"}, none)
	WrongType = define("wrong_type", http.StatusBadRequest,
		Text{"must be of type %s", "deve ser do tipo %s"}, none)
	NumberTooLarge = define("number_too_large", http.StatusBadRequest,
		Text{"the number is too large", "o número é grande demais"}, none)
	InvalidChoice = define("invalid_choice", http.StatusBadRequest,
		Text{"%q is none of %s", "%q não é nenhum destes: %s"}, none)
	TooManyStreams = define("too_many_streams", http.StatusTooManyRequests,
		Text{"there are %d event streams already", "já há %d fluxos de eventos"},
		Text{"close some first, or ask for the list of operations", "feche alguns antes, ou consulte a lista de operações"})
	InvalidPage = define("invalid_page", http.StatusBadRequest,
		Text{"must be a whole number of at least %d", "deve ser um número inteiro de no mínimo %d"}, none)
	InvalidCursor = define("invalid_cursor", http.StatusBadRequest,
		Text{"must be what the page before has as next", "deve ser o que a página anterior traz em next"}, none)
)

// Fields of clusters and node pools.
var (
	InvalidName = define("invalid_name", http.StatusBadRequest,
		Text{"must have 1 to 63 characters: lower-case letters, digits and dashes, beginning with a letter and not ending with a dash",
			"deve ter de 1 a 63 caracteres: letras minúsculas, dígitos e hifens, começando com letra e não terminando com hífen"}, none)
	DescriptionTooLong = define("description_too_long", http.StatusBadRequest,
		Text{"must not have more than %d characters", "não pode ter mais de %d caracteres"}, none)
	InvalidText = define("invalid_text", http.StatusBadRequest,
		Text{"must not contain the character NUL", "não pode conter o caractere NUL"}, none)
	UnknownVersion = define("unknown_version", http.StatusBadRequest,
		Text{"version %q is not offered; offered are: %s", "a versão %q não é oferecida; são oferecidas: %s"},
		Text{"mgc kubernetes version list", "mgc kubernetes version list"})
	UpgradePath = define("invalid_upgrade_path", http.StatusBadRequest,
		Text{"there is no upgrade from %s to %s; only newer patches of the same minor version or the next minor version",
			"não há atualização de %s para %s; somente patches mais novos da mesma versão minor ou a próxima minor"}, none)
	PoolNewerThanCluster = define("node_pool_newer_than_cluster", http.StatusBadRequest,
		Text{"version %s is newer than the cluster's %s", "a versão %s é mais nova que a do cluster, %s"},
		Text{"upgrade the cluster first", "atualize o cluster primeiro"})
	UnknownFlavor = define("unknown_flavor", http.StatusBadRequest,
		Text{"flavor %q is not offered", "o flavor %q não é oferecido"},
		Text{"mgc kubernetes flavor list", "mgc kubernetes flavor list"})
	InvalidReplicas = define("invalid_replicas", http.StatusBadRequest,
		Text{"must be a whole number from 0 to %d", "deve ser um número inteiro de 0 a %d"}, none)
	MinAboveMax = define("min_replicas_above_max_replicas", http.StatusBadRequest,
		Text{"min_replicas %d is above max_replicas %d", "min_replicas %d é maior que max_replicas %d"}, none)
	ReplicasOutOfRange = define("replicas_outside_auto_scale", http.StatusBadRequest,
		Text{"replicas %d is outside of auto_scale, %d to %d", "replicas %d está fora de auto_scale, de %d a %d"}, none)
	InvalidMaxPods = define("invalid_max_pods_per_node", http.StatusBadRequest,
		Text{"must be from 8 to 110", "deve ser de 8 a 110"}, none)
	InvalidLabel = define("invalid_label", http.StatusBadRequest,
		Text{"label %q: %s", "label %q: %s"}, none)
	ReservedLabel = define("reserved_label", http.StatusBadRequest,
		Text{"%q is reserved for the platform", "%q é reservado para a plataforma"},
		Text{"use a prefix of your own, such as example.com/", "use um prefixo próprio, como example.com/"})
	InvalidTaint = define("invalid_taint", http.StatusBadRequest,
		Text{"%s", "%s"}, none)
	InvalidTaintEffect = define("invalid_taint_effect", http.StatusBadRequest,
		Text{"effect %q is none of NoSchedule, PreferNoSchedule, NoExecute", "o efeito %q não é NoSchedule, PreferNoSchedule nem NoExecute"}, none)
	DuplicateTaint = define("duplicate_taint", http.StatusBadRequest,
		Text{"another taint has the same key and effect", "outro taint tem a mesma chave e efeito"}, none)
	TooMany = define("too_many_items", http.StatusBadRequest,
		Text{"must not have more than %d items", "não pode ter mais de %d itens"}, none)
	DuplicatePoolName = define("duplicate_node_pool_name", http.StatusBadRequest,
		Text{"another node pool of this request is named %q", "outro node pool desta requisição chama-se %q"}, none)
	InvalidZone = define("invalid_availability_zone", http.StatusBadRequest,
		Text{"there is no subnet of the cluster in zone %q", "não há sub-rede do cluster na zona %q"}, none)
)

// Addresses.
var (
	InvalidCIDR = define("invalid_cidr", http.StatusBadRequest,
		Text{"%q is not an IPv4 network such as 10.0.0.0/8", "%q não é uma rede IPv4 como 10.0.0.0/8"}, none)
	CIDRNotPrivate = define("cidr_not_private", http.StatusBadRequest,
		Text{"%s is not a private network", "%s não é uma rede privada"},
		Text{"use a part of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10", "use uma parte de 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 ou 100.64.0.0/10"})
	PodsCIDRSize = define("invalid_pods_cidr_size", http.StatusBadRequest,
		Text{"%s must be between /8 and /23: every node gets a /24 of it", "%s deve estar entre /8 e /23: cada nó recebe um /24 dela"}, none)
	PodsCIDRFull = define("pods_cidr_too_small", http.StatusBadRequest,
		Text{"%s has room for %d nodes, but with the control plane %d may be needed", "%s comporta %d nós, mas com o control plane podem ser necessários %d"}, none)
	ServicesCIDRSize = define("invalid_services_cidr_size", http.StatusBadRequest,
		Text{"%s must be between /12 and /24", "%s deve estar entre /12 e /24"}, none)
	CIDROverlap = define("cidr_overlap", http.StatusBadRequest,
		Text{"%s overlaps with %s, %s", "%s sobrepõe %s, %s"}, none)
	InvalidSubnetID = define("invalid_subnet_id", http.StatusBadRequest,
		Text{"%q is not a UUID", "%q não é um UUID"}, none)
	SubnetNotFound = define("subnet_not_found", http.StatusBadRequest,
		Text{"there is no subnet %s", "não existe a sub-rede %s"},
		Text{"GET /network/v0/vpcs/{vpc_id}/subnets lists them", "GET /network/v0/vpcs/{vpc_id}/subnets lista as sub-redes"})
	SubnetsEmpty = define("subnet_ids_empty", http.StatusBadRequest,
		Text{"needs at least one subnet", "precisa de ao menos uma sub-rede"}, none)
	SubnetsSameZone = define("subnets_in_same_zone", http.StatusBadRequest,
		Text{"two subnets are in zone %s; give one per zone", "duas sub-redes estão na zona %s; informe uma por zona"}, none)
	SubnetsOfSeveralVPCs = define("subnets_of_several_vpcs", http.StatusBadRequest,
		Text{"all subnets must belong to one VPC", "todas as sub-redes devem pertencer a uma só VPC"}, none)
	SubnetsOutsideCluster = define("subnets_outside_cluster_vpc", http.StatusBadRequest,
		Text{"all subnets must belong to the cluster's VPC", "todas as sub-redes devem pertencer à VPC do cluster"}, none)
)

// Things that do not exist, exist already, or are not ready.
var (
	ClusterNotFound = define("cluster_not_found", http.StatusNotFound,
		Text{"there is no such cluster", "esse cluster não existe"},
		Text{"mgc kubernetes cluster list", "mgc kubernetes cluster list"})
	NodePoolNotFound = define("node_pool_not_found", http.StatusNotFound,
		Text{"there is no such node pool in the cluster", "esse node pool não existe no cluster"},
		Text{"mgc kubernetes nodepool list", "mgc kubernetes nodepool list"})
	OperationNotFound = define("operation_not_found", http.StatusNotFound,
		Text{"there is no such operation", "essa operação não existe"}, none)
	AuditRecordNotFound = define("audit_record_not_found", http.StatusNotFound,
		Text{"there is no such audit record; old ones are removed", "esse registro de auditoria não existe; os antigos são removidos"},
		Text{"mgc audit list", "mgc audit list"})
	AddonNotFound = define("addon_not_found", http.StatusNotFound,
		Text{"there is no addon %q; there are: %s", "não existe o addon %q; existem: %s"},
		Text{"mgc kubernetes addon list", "mgc kubernetes addon list"})
	AddonEssential = define("addon_essential", http.StatusUnprocessableEntity,
		Text{"no cluster works without %s, so it cannot be disabled; these can: %s", "nenhum cluster funciona sem %s, por isso não pode ser desativado; estes podem: %s"}, none)
	AddonFixed = define("addon_fixed", http.StatusUnprocessableEntity,
		Text{"the network plugin is chosen when the cluster is created and cannot change", "o plugin de rede é escolhido na criação do cluster e não pode mudar"},
		Text{"create a cluster with another cni", "crie um cluster com outro cni"})
	AddonNeeded = define("addon_needed", http.StatusUnprocessableEntity,
		Text{"%s needs it", "%s precisa dele"},
		Text{"disable what needs it first", "desative primeiro quem precisa dele"})
	AddonNeeds = define("addon_needs", http.StatusUnprocessableEntity,
		Text{"it needs %s, which is disabled", "ele precisa de %s, que está desativado"},
		Text{"enable what it needs first", "ative primeiro o que ele precisa"})
	InvalidSetting = define("invalid_setting", http.StatusUnprocessableEntity,
		Text{"%s", "%s"}, none)
	ClusterExists = define("cluster_already_exists", http.StatusConflict,
		Text{"a cluster named %q already exists", "já existe um cluster chamado %q"},
		Text{"choose another name; a cluster that is being deleted keeps its name until it is gone", "escolha outro nome; um cluster em exclusão mantém o nome até o fim"})
	NodePoolExists = define("node_pool_already_exists", http.StatusConflict,
		Text{"the cluster already has a node pool named %q", "o cluster já tem um node pool chamado %q"}, none)
	ClusterDeleting = define("cluster_deleting", http.StatusConflict,
		Text{"the cluster is being deleted", "o cluster está sendo excluído"}, none)
	NodePoolDeleting = define("node_pool_deleting", http.StatusConflict,
		Text{"the node pool is being deleted", "o node pool está sendo excluído"}, none)
	ClusterNotRunning = define("cluster_not_running", http.StatusBadRequest,
		Text{"the cluster is not running yet, so its version cannot change", "o cluster ainda não está rodando; a versão não pode mudar"},
		Text{"wait until its state is Running", "espere o estado Running"})
	KubeconfigNotReady = define("kubeconfig_not_ready", http.StatusBadRequest,
		Text{"the cluster is in provisioning, there is no kubeconfig yet", "o cluster está em provisionamento, ainda não há kubeconfig"},
		Text{"try again in some seconds", "tente de novo em alguns segundos"})
)

// What becomes of operations. These are found in their errors; no request is answered with them.
var (
	OperationFailed = define("operation_failed", http.StatusUnprocessableEntity,
		Text{"%s", "%s"},
		Text{"it is tried again when the cause is gone; or delete what failed", "tenta-se de novo quando a causa deixar de existir; ou exclua o que falhou"})
	OperationStalled = define("operation_stalled", http.StatusUnprocessableEntity,
		Text{"nothing has moved since %s; it waits for: %s", "nada avança desde %s; espera-se por: %s"},
		Text{"it goes on by itself when what it waits for comes; if it lasts, tell support the operation's id", "continua sozinha quando vier o que ela espera; se persistir, informe o id da operação ao suporte"})
	CloudRefused = define("cloud_refused", http.StatusUnprocessableEntity,
		Text{"the cloud refuses what is needed: %s", "a nuvem recusa o que é necessário: %s"},
		Text{"look at the quotas of the cloud's products; it is tried again by itself", "verifique as cotas dos produtos da nuvem; tenta-se de novo automaticamente"})
	CloudUnauthorized = define("cloud_unauthorized", http.StatusUnprocessableEntity,
		Text{"the cloud refuses the cluster's credential: %s", "a nuvem recusa a credencial do cluster: %s"},
		Text{"give the cluster's service account its permissions back; it is tried again once a minute", "devolva as permissões da conta de serviço do cluster; tenta-se de novo a cada minuto"})
	CloudSilent = define("cloud_not_answering", http.StatusUnprocessableEntity,
		Text{"the cloud does not answer: %s", "a nuvem não responde: %s"},
		Text{"it is tried again by itself", "tenta-se de novo automaticamente"})
)

// Repetitions.
var (
	InvalidIdempotencyKey = define("invalid_idempotency_key", http.StatusBadRequest,
		Text{"Idempotency-Key must have 1 to 255 visible ASCII characters", "Idempotency-Key deve ter de 1 a 255 caracteres ASCII visíveis"}, none)
	IdempotencyKeyInUse = define("idempotency_key_in_use", http.StatusConflict,
		Text{"a request with the same Idempotency-Key is under way", "uma requisição com a mesma Idempotency-Key está em andamento"},
		Text{"repeat it in some seconds, to get its answer", "repita em alguns segundos para receber a resposta"})
	IdempotencyKeyReused = define("idempotency_key_reused", http.StatusUnprocessableEntity,
		Text{"another request was sent with the same Idempotency-Key", "outra requisição foi enviada com a mesma Idempotency-Key"},
		Text{"use a new key for each request, and the same one only to repeat it", "use uma chave nova para cada requisição, e a mesma somente para repeti-la"})
)

// What a tenant may have and do.
var (
	DeletionProtected = define("deletion_protected", http.StatusConflict,
		Text{"the cluster is protected against deletion", "o cluster está protegido contra exclusão"},
		Text{"set deletion_protection to false first; mgc kubernetes cluster update <cluster> --deletion-protection=false",
			"antes, mude deletion_protection para false; mgc kubernetes cluster update <cluster> --deletion-protection=false"})
	QuotaExceeded = define("quota_exceeded", http.StatusUnprocessableEntity,
		Text{"quota %s: %d more are wanted, %d are used, the limit is %d", "cota %s: são pedidos mais %d, há %d em uso, o limite é %d"},
		Text{"delete what is not needed, or ask for a higher quota; mgc kubernetes quota list", "exclua o que não é necessário ou peça uma cota maior; mgc kubernetes quota list"})
)

// Series of the monitoring addon.
var (
	MonitoringDisabled = define("monitoring_disabled", http.StatusConflict,
		Text{"the addon monitoring is disabled, so nothing is measured", "o addon monitoring está desativado, por isso nada é medido"},
		Text{"mgc kubernetes addon update <cluster> monitoring --enabled", "mgc kubernetes addon update <cluster> monitoring --enabled"})
	MonitoringUnavailable = define("monitoring_unavailable", http.StatusServiceUnavailable,
		Text{"the cluster's monitoring does not answer; after it is enabled it takes a minute", "o monitoramento do cluster não responde; depois de ativado, leva um minuto"},
		Text{"mgc kubernetes addon get <cluster> monitoring shows its state; then try again", "mgc kubernetes addon get <cluster> monitoring mostra seu estado; depois tente de novo"})
	SeriesNotFound = define("series_not_found", http.StatusNotFound,
		Text{"there is no series %q", "não existe a série %q"},
		Text{"mgc kubernetes metrics list <cluster>", "mgc kubernetes metrics list <cluster>"})
	InvalidTime = define("invalid_time", http.StatusBadRequest,
		Text{"must be a time such as 2026-11-22T12:00:00Z, or seconds since 1970", "deve ser um instante como 2026-11-22T12:00:00Z, ou segundos desde 1970"}, none)
	InvalidTimeRange = define("invalid_time_range", http.StatusBadRequest,
		Text{"must be before end, by at most %d days", "deve ser anterior a end, por no máximo %d dias"}, none)
	InvalidStep = define("invalid_step", http.StatusBadRequest,
		Text{"must be whole seconds such as 60, 30s or 5m, and at least %s for this range: no more than %d points", "deve ser um número inteiro de segundos como 60, 30s ou 5m, de no mínimo %s para este intervalo: não mais que %d pontos"}, none)
	InvalidFilter = define("invalid_filter", http.StatusBadRequest,
		Text{"series of the scope %s cannot be chosen by this; only by: %s", "séries do escopo %s não podem ser escolhidas por isso; somente por: %s"}, none)
	InvalidObjectName = define("invalid_object_name", http.StatusBadRequest,
		Text{"must be a name in Kubernetes: lower-case letters, digits, dashes and dots, at most 253 characters", "deve ser um nome do Kubernetes: letras minúsculas, dígitos, hifens e pontos, no máximo 253 caracteres"}, none)
	TooMuchData = define("too_much_data", http.StatusBadRequest,
		Text{"the answer would have more than %d series or too many points", "a resposta teria mais de %d séries ou pontos demais"},
		Text{"choose by pool, node, namespace or pod, a larger step or a shorter range", "escolha por pool, node, namespace ou pod, um step maior ou um intervalo menor"})
)

// What goes wrong on our side. Clients repeat these; nothing was changed.
var (
	CloudUnavailable = define("cloud_unavailable", http.StatusServiceUnavailable,
		Text{"the network service does not answer at the moment; nothing was created", "o serviço de rede não responde no momento; nada foi criado"},
		Text{"try again in some seconds", "tente de novo em alguns segundos"})
	Unavailable = define("unavailable", http.StatusServiceUnavailable,
		Text{"the service is not available at the moment", "o serviço não está disponível no momento"},
		Text{"try again in some seconds", "tente de novo em alguns segundos"})
	Internal = define("internal_error", http.StatusInternalServerError,
		Text{"something went wrong on our side", "algo deu errado do nosso lado"},
		Text{"try again; if it lasts, tell support the request id", "tente de novo; se persistir, informe o id da requisição ao suporte"})
)
