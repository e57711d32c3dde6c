"""deploy/aws: what cfn-lint and checkov say, which exceptions stand there, and what roles may do. No AWS is asked."""

import json
import re

from creditstream.config.settings import Settings
from creditstream.kafka.topics import all_topics
from tests.support.cloud import TEMPLATES, ask
from tests.support.templates import FILES, RESOURCES, at, listed, of, statements


def test_cfn_lint_has_nothing_to_say() -> None:
    done = ask("cfn-lint", "--include-checks", "I", "--", *sorted(FILES))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_checkov_has_nothing_to_say() -> None:
    options = ("--framework", "cloudformation", "--skip-download", "--output", "json")
    done = ask("checkov", "--directory", ".", *options)
    report = json.loads(done.stdout)
    assert [(one["check_id"], one["resource"]) for one in report["results"]["failed_checks"]] == []
    assert report["summary"]["parsing_errors"] == 0 and report["summary"]["passed"] > 100
    assert done.returncode == 0, done.stderr


def test_each_exception_has_a_reason() -> None:
    skips = [skip for one in RESOURCES.values() for skip in one.get("Metadata", {}).get("checkov", {}).get("skip", ())]
    assert skips and all(len(skip["comment"].split()) > 5 for skip in skips)
    text = "".join((TEMPLATES / file).read_text() for file in FILES)
    ignored = re.findall(r"^ +- ([WEI]\d{4})(.*)$", text, flags=re.MULTILINE)
    assert ignored and all(len(rest.split()) > 5 and rest.startswith(" #") for _, rest in ignored)
    assert not re.search("checkov:skip|nosec", text), "only where the reason is looked at"


def test_no_policy_says_everything() -> None:
    wide = {
        (name, statement.get("Sid"))
        for name, statement in statements()
        for part in [*listed(statement["Action"]), *listed(statement.get("Resource", ""))]
        if "*" in json.dumps(part)
    }
    # In a key's own policy the resource * is the key itself; the account's administrators keep it, by IAM.
    assert wide == {("creditstream.yaml:Key", sid) for sid in ("TheAccount", "LogGroups", "AlarmsToAnEncryptedTopic")}
    assert all(statement["Effect"] == "Allow" for _, statement in statements())


def test_whom_the_roles_trust_is_bound() -> None:
    """A service acts for many customers. EKS and EC2 take a role only from whoever may pass it."""
    unbound = {name for name, one in statements() if "Service" in one.get("Principal", {}) and "Condition" not in one}
    assert unbound == {"workers.yaml:ClusterRole", "workers.yaml:NodeRole"}
    for name, pods in of("AWS::EKS::PodIdentityAssociation").items():
        role = RESOURCES[f"roles.yaml:{pods['RoleArn']['Fn::GetAtt'][0]}"]["Properties"]
        condition = at(role, "AssumeRolePolicyDocument.Statement.0.Condition")["StringEquals"]
        assert condition["aws:RequestTag/kubernetes-service-account"] == pods["ServiceAccount"], name
        assert condition["aws:RequestTag/kubernetes-namespace"] == pods["Namespace"], name


def test_policies_name_our_topics_and_our_group_and_nothing_else() -> None:
    ours = {f"topic/${{Path}}/${{TopicPrefix}}{topic.name}" for topic in all_topics(Settings())}
    named: dict[str, set[str]] = {"Worker": set(), "Operations": set(), "Producer": set()}
    for name, statement in statements():
        if not name.startswith("roles.yaml:") or "Resource" not in statement:
            continue
        for resource in listed(statement["Resource"]):
            if resource != {"Ref": "KafkaArn"}:
                text, values = resource["Fn::Sub"]
                assert values == {"Path": {"Fn::Select": [1, {"Fn::Split": [":cluster/", {"Ref": "KafkaArn"}]}]}}
                named[name.removeprefix("roles.yaml:")].add(text.split(":")[-1])
        assert all(action.startswith("kafka-cluster:") for action in listed(statement["Action"]))
    assert named["Worker"] == named["Operations"] == ours | {"group/${Path}/${Group}"}
    assert named["Producer"] == {"topic/${Path}/${TopicPrefix}orders"}
    parameters = FILES["creditstream.yaml"]["Parameters"]
    assert parameters["Group"]["Default"] == Settings().group
    assert parameters["TopicPrefix"]["Default"] == Settings().topic_prefix
