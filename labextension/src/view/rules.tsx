/** Rules and schedules of a policy: listed, added, removed. */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useState } from 'react';

import type { Rule, RuleSpec, Schedule, ScheduleSpec } from '../types';
import { FormEnd, useForm } from './form';
import { Button, Field, Notice, Table, useWork } from './pieces';
import { NEW_RULE, newSchedule, ruleFrom, RuleForm, scheduleFrom, ScheduleForm } from './policy';
import { measure, metricUnits, writeSpan } from './units';

export interface RulesProps {
  rules: readonly Rule[];
  trans: TranslationBundle;
  onAddRule: (rule: RuleSpec) => Promise<void>;
  onRemoveRule: (id: string) => Promise<void>;
}

export interface SchedulesProps {
  schedules: readonly Schedule[];
  trans: TranslationBundle;
  onAddSchedule: (schedule: ScheduleSpec) => Promise<void>;
  onRemoveSchedule: (id: string) => Promise<void>;
}

const RULE_FIELDS = ['metric', 'above', 'below', 'step', 'window', 'cooldown', 'min', 'max'];

export function Rules(props: RulesProps): JSX.Element {
  const { rules, trans } = props;
  const { busy, refused, run } = useWork();
  return (
    <section aria-label={trans.__('Rules')}>
      <h3>{trans.__('Rules')}</h3>
      {rules.length > 0 && (
        <Table
          caption={trans.__('Rules')}
          columns={[
            trans.__('Rule'),
            trans.__('Metric'),
            trans.__('Above'),
            trans.__('Below'),
            trans.__('Step'),
            trans.__('Mean of'),
            trans.__('Rests'),
            trans.__('Replicas'),
            ''
          ]}
        >
          {rules.map(rule => (
            <tr key={rule.id} data-rule={rule.id}>
              <th scope="row">{rule.id}</th>
              <td>{rule.metric}</td>
              <td className="jp-mod-figure">
                {rule.above === null ? '–' : measure(rule.metric, rule.above, trans)}
              </td>
              <td className="jp-mod-figure">
                {rule.below === null ? '–' : measure(rule.metric, rule.below, trans)}
              </td>
              <td className="jp-mod-figure">{rule.step}</td>
              <td className="jp-mod-figure">{writeSpan(rule.window)}</td>
              <td className="jp-mod-figure">{writeSpan(rule.cooldown)}</td>
              <td>{ownBounds(rule, trans)}</td>
              <td>
                <Button
                  text={trans.__('Remove')}
                  label={trans.__('Remove rule %1', rule.id)}
                  disabled={busy}
                  onClick={() => void run(() => props.onRemoveRule(rule.id))}
                />
              </td>
            </tr>
          ))}
        </Table>
      )}
      {refused !== null && <Notice text={refused} kind="bad" />}
      <AddRule {...props} />
    </section>
  );
}

function AddRule({ trans, onAddRule }: RulesProps): JSX.Element {
  const [form, setForm] = useState<RuleForm | null>(null);
  const { problems, busy, submit, clear } = useForm(RULE_FIELDS, trans);
  const units = metricUnits(trans);
  if (form === null) {
    return (
      <div className="jp-ModelService-bar">
        <Button text={trans.__('Add a Rule')} onClick={() => setForm(NEW_RULE)} />
      </div>
    );
  }
  const close = () => {
    clear();
    setForm(null);
  };
  const field = (name: keyof RuleForm, label: string, help?: string, width = 8) => (
    <Field
      label={label}
      value={form[name]}
      help={help}
      problem={problems[name]}
      width={width}
      choices={name === 'metric' ? Object.keys(units) : undefined}
      onChange={value => setForm({ ...form, [name]: value })}
    />
  );
  return (
    <form
      className="jp-ModelService-form"
      aria-label={trans.__('New rule')}
      onSubmit={event =>
        void submit(event, ruleFrom(form, trans), async body => {
          await onAddRule(body);
          close();
        })
      }
    >
      {field('metric', trans.__('Metric'), units[form.metric.trim()] ?? '', 22)}
      {field('above', trans.__('Above'), trans.__('adds replicas'))}
      {field('below', trans.__('Below'), trans.__('takes them away'))}
      {field('step', trans.__('Step'), trans.__('so many at a time'))}
      {field('window', trans.__('Mean of'))}
      {field('cooldown', trans.__('Rests'), trans.__('when it has fired'))}
      {field('min', trans.__('Least'))}
      {field('max', trans.__('Most'))}
      {problems[''] && <Notice text={problems['']} kind="bad" />}
      <FormEnd text={trans.__('Add')} busy={busy} trans={trans} onCancel={close} />
    </form>
  );
}

const SCHEDULE_FIELDS = ['when', 'timezone', 'duration', 'min', 'max'];

export function Schedules(props: SchedulesProps): JSX.Element {
  const { schedules, trans } = props;
  const { busy, refused, run } = useWork();
  return (
    <section aria-label={trans.__('Schedules')}>
      <h3>{trans.__('Schedules')}</h3>
      {schedules.length > 0 && (
        <Table
          caption={trans.__('Schedules')}
          columns={[trans.__('Schedule'), trans.__('When'), trans.__('Time zone'), trans.__('Replicas'), '']}
        >
          {schedules.map(each => (
            <tr key={each.id} data-schedule={each.id}>
              <th scope="row">{each.id}</th>
              <td>
                {each.duration === null
                  ? each.when
                  : trans.__('%1 for %2', each.when, writeSpan(each.duration))}
              </td>
              <td>{each.timezone}</td>
              <td>{ownBounds(each, trans)}</td>
              <td>
                <Button
                  text={trans.__('Remove')}
                  label={trans.__('Remove schedule %1', each.id)}
                  disabled={busy}
                  onClick={() => void run(() => props.onRemoveSchedule(each.id))}
                />
              </td>
            </tr>
          ))}
        </Table>
      )}
      {refused !== null && <Notice text={refused} kind="bad" />}
      <AddSchedule {...props} />
    </section>
  );
}

function AddSchedule({ trans, onAddSchedule }: SchedulesProps): JSX.Element {
  const [form, setForm] = useState<ScheduleForm | null>(null);
  const { problems, busy, submit, clear } = useForm(SCHEDULE_FIELDS, trans);
  if (form === null) {
    return (
      <div className="jp-ModelService-bar">
        <Button text={trans.__('Add a Schedule')} onClick={() => setForm(newSchedule())} />
      </div>
    );
  }
  const close = () => {
    clear();
    setForm(null);
  };
  const field = (name: keyof ScheduleForm, label: string, help?: string, width = 8) => (
    <Field
      label={label}
      value={form[name]}
      help={help}
      problem={problems[name]}
      width={width}
      onChange={value => setForm({ ...form, [name]: value })}
    />
  );
  const cron = /^\s*[^A-Za-z\s]+(\s+\S+){4}\s*$/.test(form.when);
  return (
    <form
      className="jp-ModelService-form"
      aria-label={trans.__('New schedule')}
      onSubmit={event =>
        void submit(event, scheduleFrom(form, trans), async body => {
          await onAddSchedule(body);
          close();
        })
      }
    >
      {field('when', trans.__('When'), trans.__('such as Mon-Fri 08:00-19:00, or cron’s five fields'), 26)}
      {field('timezone', trans.__('Time zone'), undefined, 18)}
      {(cron || problems['duration']) && field('duration', trans.__('For'), trans.__('such as 2h'))}
      {field('min', trans.__('Least'))}
      {field('max', trans.__('Most'))}
      {problems[''] && <Notice text={problems['']} kind="bad" />}
      <FormEnd text={trans.__('Add')} busy={busy} trans={trans} onCancel={close} />
    </form>
  );
}

function ownBounds(item: Rule | Schedule, trans: TranslationBundle): string {
  const told = [
    item.min === null ? '' : trans.__('%1 at least', item.min),
    item.max === null ? '' : trans.__('%1 at most', item.max)
  ].filter(Boolean);
  return told.join(', ') || '–';
}
