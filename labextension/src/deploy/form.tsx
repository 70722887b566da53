/** The form of a new service, or of the next revision of one, drawn from what it is given. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { bytes } from '../format';
import type { Offer, Problem } from '../types';
import { Button, Field, Notice } from '../view/pieces';
import { Problems } from './pieces';
import { hasGpus, imagesOf, Values, Variable, Wrong } from './values';

export interface FormProps {
  /** Of an update: the service. */
  update: string | null;
  /** Where the folder is, in words. */
  folder: string;
  problems: readonly Problem[];
  /** Files that have unsaved changes. */
  unsaved: readonly string[];
  /** What is saved cannot be deployed, or is not what is seen. */
  blocked: boolean;
  values: Values;
  wrong: Wrong;
  /** Of an update: the names of the variables that the service has. */
  kept: readonly string[];
  offer: Offer | null;
  busy: string | null;
  refused: string | null;
  trans: TranslationBundle;
  onChange: (part: Partial<Values>) => void;
  onDeploy: () => void;
  onCheck: () => void;
  onSave: () => void;
  onOpen: ((file: string, line: number | null) => void) | null;
  /** Null where the folder is fixed. */
  onOther: (() => void) | null;
}

export function DeployForm(props: FormProps): JSX.Element {
  const { update, values, wrong, offer, busy, trans, onChange } = props;
  return (
    <form
      className="jp-ModelService-deploy-form"
      aria-label={update === null ? trans.__('New model service') : trans.__('Update %1', update)}
      aria-busy={busy !== null}
      onSubmit={event => {
        event.preventDefault();
        props.onDeploy();
      }}
    >
      <p>
        {trans.__('Folder:')} <code>{props.folder}</code>{' '}
        {props.onOther !== null && (
          <button type="button" className="jp-ModelService-link" onClick={props.onOther}>
            {trans.__('another one')}
          </button>
        )}
      </p>
      <Problems problems={props.problems} trans={trans} onOpen={props.onOpen} onCheck={props.onCheck} />
      {props.unsaved.length > 0 && (
        <Notice
          text={trans.__(
            'The editor has unsaved changes of %1: save them to deploy them.',
            props.unsaved.join(', ')
          )}
        >
          <Button text={trans.__('Save')} onClick={props.onSave} />
        </Notice>
      )}
      <fieldset disabled={busy !== null}>
        {update === null && (
          <>
            <Field
              label={trans.__('Name')}
              value={values.name}
              width={24}
              problem={wrong.name}
              help={trans.__('It stands in the address of the endpoint and cannot be changed later.')}
              onChange={name => onChange({ name })}
            />
            <Field
              label={trans.__('Replicas')}
              value={values.replicas}
              width={6}
              problem={wrong.replicas}
              help={trans.__('Copies of the server that share the calls.')}
              onChange={replicas => onChange({ replicas })}
            />
          </>
        )}
        {offer?.containers && (
          <Field
            label={trans.__('Image')}
            value={values.image}
            width={36}
            choices={imagesOf(offer)}
            placeholder={offer.own_image ?? undefined}
            problem={wrong.image}
            help={
              update === null
                ? trans.__('Empty: the one that this notebook server runs in.')
                : trans.__('Empty: it stays as it is.')
            }
            onChange={image => onChange({ image })}
          />
        )}
        {hasGpus(offer) && (
          <Field
            label={trans.__('GPUs of each replica')}
            value={values.gpus}
            width={6}
            placeholder={update === null ? '0' : undefined}
            problem={wrong.gpus}
            help={gpuHelp(offer, trans)}
            onChange={gpus => onChange({ gpus })}
          />
        )}
        {offer?.containers && (
          <>
            <Field
              label={trans.__('CPUs of each replica')}
              value={values.cpus}
              width={6}
              problem={wrong.cpus}
              help={limitHelp(update, offer.cpus === null ? null : String(offer.cpus), trans)}
              onChange={cpus => onChange({ cpus })}
            />
            <Field
              label={trans.__('Memory of each replica, in GiB')}
              value={values.memory}
              width={6}
              problem={wrong.memory}
              help={limitHelp(update, offer.memory === null ? null : bytes(offer.memory), trans)}
              onChange={memory => onChange({ memory })}
            />
          </>
        )}
      </fieldset>
      <Environment {...props} />
      {update === null && (offer?.public ?? true) && <Openness {...props} />}
      {update === null && offer?.public === false && (
        <Notice
          text={trans.__(
            'It will be private, and may not be made public: so says %1.',
            offer.public_set_by || trans.__('the administrator')
          )}
        />
      )}
      {update === null && offer?.services_left === 0 && (
        <Notice text={trans.__('You have as many services as you may have: delete one before.')} />
      )}
      {busy !== null && <Notice kind="busy" text={busy} />}
      {props.refused !== null && <Notice kind="bad" text={props.refused} />}
      <div className="jp-ModelService-bar">
        <button
          type="submit"
          className="jp-ModelService-button jp-Button jp-mod-styled jp-mod-accept"
          disabled={busy !== null || props.blocked}
        >
          {update === null ? trans.__('Deploy') : trans.__('Update')}
        </button>
      </div>
    </form>
  );
}

function limitHelp(update: string | null, most: string | null, trans: TranslationBundle): string {
  const empty = update === null ? trans.__('Empty: the usual limit.') : trans.__('Empty: it stays as it is.');
  return most === null ? empty : trans.__('At most %1. %2', most, empty);
}

function gpuHelp(offer: Offer | null, trans: TranslationBundle): string {
  const gpus = offer?.gpus ?? null;
  return gpus === null
    ? trans.__('How many are free is not known.')
    : trans.__('%1 of %2 are held by no replica now.', gpus.free, gpus.total);
}

function Environment({ update, values, wrong, kept, busy, trans, onChange }: FormProps): JSX.Element {
  const { environment, replaces } = values;
  const put = (at: number, part: Partial<Variable>) =>
    onChange({ environment: environment.map((each, i) => (i === at ? { ...each, ...part } : each)) });
  const edited = update === null || replaces;
  return (
    <fieldset disabled={busy !== null} aria-label={trans.__('Environment')}>
      <legend>{trans.__('Environment')}</legend>
      {update !== null && (
        <label className="jp-ModelService-choice">
          <input
            type="checkbox"
            checked={replaces}
            onChange={event => onChange({ replaces: event.target.checked })}
          />
          {kept.length === 0
            ? trans.__('Set variables (there are none now)')
            : trans.__('Set other variables instead of %1', kept.join(', '))}
        </label>
      )}
      {edited &&
        environment.map((each, i) => (
          <div className="jp-ModelService-variable" key={i}>
            <input
              className="jp-mod-styled"
              aria-label={trans.__('Name of variable %1', i + 1)}
              value={each.name}
              placeholder={trans.__('NAME')}
              autoComplete="off"
              spellCheck={false}
              onChange={event => put(i, { name: event.target.value })}
            />
            <input
              className="jp-mod-styled"
              aria-label={trans.__('Value of variable %1', i + 1)}
              value={each.value}
              placeholder={trans.__('value')}
              autoComplete="off"
              spellCheck={false}
              onChange={event => put(i, { value: event.target.value })}
            />
            <Button
              text={trans.__('Remove')}
              label={trans.__('Remove variable %1', i + 1)}
              onClick={() => onChange({ environment: environment.filter((_, other) => other !== i) })}
            />
          </div>
        ))}
      {edited && (
        <Button
          text={trans.__('Add a Variable')}
          onClick={() => onChange({ environment: [...environment, { name: '', value: '' }] })}
        />
      )}
      {wrong.environment && (
        <span className="jp-ModelService-wrong" role="alert">
          {wrong.environment}
        </span>
      )}
    </fieldset>
  );
}

function Openness({ values, busy, trans, onChange }: FormProps): JSX.Element {
  const name = React.useId();
  const choice = (open: boolean, text: string) => (
    <label className="jp-ModelService-choice">
      <input
        type="radio"
        name={name}
        checked={values.public === open}
        onChange={() => onChange({ public: open })}
      />
      {text}
    </label>
  );
  return (
    <fieldset disabled={busy !== null}>
      <legend>{trans.__('Who can call it')}</legend>
      {choice(false, trans.__('Private: who has one of its tokens'))}
      {choice(true, trans.__('Public: everybody who can reach its address, without a token'))}
    </fieldset>
  );
}
