"""deploy/aws: nothing is reached from outside, all is encrypted, no secret is put out, nothing is easily lost."""

import json
import re

import pytest

from creditstream.config.settings import Settings
from tests.support.templates import FILES, RESOURCES, at, of, walk

#: Where customers' data or secrets lie, and what says that it is encrypted there, under which key.
STORES = {
    "AWS::MSK::Cluster": "EncryptionInfo.EncryptionAtRest.DataVolumeKMSKeyId",
    "AWS::RDS::DBInstance": "KmsKeyId",
    "AWS::ElastiCache::ReplicationGroup": "KmsKeyId",
    "AWS::SecretsManager::Secret": "KmsKeyId",
    "AWS::Logs::LogGroup": "KmsKeyId",
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::ECR::Repository": "EncryptionConfiguration.KmsKey",
    "AWS::EKS::Cluster": "EncryptionConfig.0.Provider.KeyArn",
}
#: Others that hold data, none of which is here: whoever adds one says above how it is encrypted.
UNKNOWN_STORES = re.compile("AWS::(S3::Bucket|EFS|DynamoDB|SQS|Kinesis|EC2::Volume|MSK::Serverless|RDS::DBCluster)")


def test_nothing_is_reached_from_outside() -> None:
    assert all(one["PubliclyAccessible"] is False for one in of("AWS::RDS::DBInstance").values())
    [kafka] = of("AWS::MSK::Cluster").values()
    assert at(kafka, "BrokerNodeGroupInfo.ConnectivityInfo.PublicAccess.Type") == "DISABLED"
    assert not any("LoadBalancing" in one["Type"] for one in RESOURCES.values())
    assert not any(one.get("MapPublicIpOnLaunch") for one in of("AWS::EC2::Subnet").values())
    assert all("SubnetId" in one and "NatSubnet" in str(one["SubnetId"]) for one in of("AWS::EC2::NatGateway").values())
    groups = [rule for one in of("AWS::EC2::SecurityGroup").values() for rule in one.get("SecurityGroupIngress", ())]
    for rule in [*groups, *of("AWS::EC2::SecurityGroupIngress").values()]:
        assert "SourceSecurityGroupId" in rule or rule["CidrIp"] == {"Fn::GetAtt": ["Vpc", "CidrBlock"]}
        assert rule["FromPort"] == rule["ToPort"]


def test_the_clusters_api_answers_inside_or_the_one_address_that_is_given() -> None:
    [cluster] = of("AWS::EKS::Cluster").values()
    access = cluster["ResourcesVpcConfig"]
    assert access["EndpointPrivateAccess"] is True
    assert access["EndpointPublicAccess"] == {"Fn::If": ["FromOutside", True, False]}
    assert access["PublicAccessCidrs"]["Fn::If"][:2] == ["FromOutside", [{"Ref": "AdminCidr"}]]
    given = FILES["creditstream.yaml"]["Parameters"]["AdminCidr"]
    assert given["Default"] == ""
    assert re.search(given["AllowedPattern"], "203.0.113.7/32") and not re.search(given["AllowedPattern"], "0.0.0.0/0")


def test_every_store_is_encrypted_under_our_key() -> None:
    keys = ({"Ref": "KeyArn"}, {"Fn::GetAtt": ["Key", "Arn"]})
    for kind, path in STORES.items():
        assert of(kind), kind
        for name, one in of(kind).items():
            if "SourceDBInstanceIdentifier" not in one:  # a replica has its source's key
                assert at(one, path) in keys, f"{name}: {path}"
    [primary] = [one for one in of("AWS::RDS::DBInstance").values() if "KmsKeyId" in one]
    [cache] = of("AWS::ElastiCache::ReplicationGroup").values()
    assert primary["StorageEncrypted"] is True and cache["AtRestEncryptionEnabled"] is True
    assert all(
        at(one, "LaunchTemplateData.BlockDeviceMappings.0.Ebs.Encrypted")
        for one in of("AWS::EC2::LaunchTemplate").values()
    )
    assert not [name for name, one in RESOURCES.items() if UNKNOWN_STORES.match(one["Type"])]


def test_every_connection_is_tls_and_says_who_it_is() -> None:
    [kafka] = of("AWS::MSK::Cluster").values()
    assert kafka["EncryptionInfo"]["EncryptionInTransit"] == {"ClientBroker": "TLS", "InCluster": True}
    assert kafka["ClientAuthentication"]["Unauthenticated"] == {"Enabled": False}
    [settings] = of("AWS::RDS::DBParameterGroup").values()
    assert settings["Parameters"]["rds.force_ssl"] == "1"
    assert {str(one["DBParameterGroupName"]) for one in of("AWS::RDS::DBInstance").values()} == {"{'Ref': 'Settings'}"}
    [cache] = of("AWS::ElastiCache::ReplicationGroup").values()
    assert (cache["TransitEncryptionEnabled"], cache["TransitEncryptionMode"]) == (True, "required")
    assert cache["UserGroupIds"] == [{"Ref": "Users"}] and "AuthToken" not in cache


def test_secrets_are_generated_and_never_put_out() -> None:
    secrets = of("AWS::SecretsManager::Secret")
    assert len(secrets) == 7
    for name, one in secrets.items():
        assert one["GenerateSecretString"]["PasswordLength"] >= 32 and "SecretString" not in one, name
    for file, content in FILES.items():
        names = {name.split(":")[1] for name in secrets if name.startswith(f"{file}:")}
        put_out = [
            part for part in walk(content.get("Outputs", {})) if isinstance(part, dict) and part.get("Ref") in names
        ]
        assert put_out == [] and "resolve:" not in json.dumps(content.get("Outputs", {})), file
        assert not [name for name in content["Parameters"] if re.search("assword|ecret|oken", name)], file
    resolved = re.findall(r"(\w+)[^\w]+Fn::Sub[^\w]+\{\{resolve:secretsmanager:", json.dumps(FILES))
    assert sorted(resolved) == ["MasterUserPassword", "Passwords", "Passwords"]


def test_the_database_is_hard_to_lose() -> None:
    [(_, primary), (_, replica)] = sorted(of("AWS::RDS::DBInstance").items())
    assert primary["MultiAZ"] is True and primary["BackupRetentionPeriod"] >= 7
    assert primary["DeletionProtection"] is replica["DeletionProtection"] is True
    assert RESOURCES["database.yaml:Primary"]["DeletionPolicy"] == "Snapshot"
    assert RESOURCES["creditstream.yaml:Key"]["DeletionPolicy"] == "Retain", "the snapshot is nothing without it"
    assert of("AWS::SecretsManager::RotationSchedule")


def test_brokers_keep_what_they_acknowledged_and_make_no_topics() -> None:
    [kafka], [configuration] = of("AWS::MSK::Cluster").values(), of("AWS::MSK::Configuration").values()
    settings = dict(line.split("=") for line in configuration["ServerProperties"].split())
    assert kafka["NumberOfBrokerNodes"] == Settings().kafka_replication_factor == 3
    assert settings["min.insync.replicas"] == "2" and settings["unclean.leader.election.enable"] == "false"
    assert settings["auto.create.topics.enable"] == settings["allow.everyone.if.no.acl.found"] == "false"


@pytest.mark.parametrize(
    "metric",
    [
        "KafkaDataLogsDiskUsed",
        "OfflinePartitionsCount",
        "CPUUtilization",
        "FreeStorageSpace",
        "ReplicaLag",
        "DatabaseMemoryUsagePercentage",
    ],
)
def test_somebody_hears_of_it(metric: str) -> None:
    alarms = [one for one in of("AWS::CloudWatch::Alarm").values() if one["MetricName"] == metric]
    assert alarms and all(one["AlarmActions"] == [{"Ref": "Topic"}] for one in alarms)
