-- The orders in the users' own words, for BI tools.

CREATE VIEW pedidos AS
SELECT
    order_id    AS "ID_Pedido",
    customer_id AS "ID_Cliente",
    json_build_object('valor', amount, 'prazo_meses', term_months, 'produto', product) AS "Detalhes_do_Pedido",
    CASE status
        WHEN 'under_review' THEN 'Em análise'
        WHEN 'approved' THEN 'Aprovado'
        WHEN 'rejected' THEN 'Reprovado'
    END         AS "Status_Pedido",
    json_build_object(
        'score', score,
        'motivo', reason,
        'motivos_do_bureau', reasons,
        'versao_modelo', model_version,
        'versao_politica', policy_version
    )           AS "Resultado_Avaliacao",
    created_at  AS "Data_Criacao",
    updated_at  AS "Data_Atualizacao",
    metadata    AS "Metadata"
FROM orders;
